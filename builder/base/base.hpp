#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "builder/plan.hpp"

namespace makina {

/// What a base is asked for. Two equal requests give the same base until it is refreshed.
struct BaseRequest {
    Base base;  ///< from the profile
    Architecture architecture = Architecture::arm64;
    std::vector<std::string> packages;  ///< Debian packages besides the essential ones; unused for vendor images
    std::filesystem::path cache;        ///< folder that keeps bases between runs; made if missing
    bool refresh = false;               ///< resolve again even if a base for this request is cached
    bool offline = false;               ///< use no network: a cached base, a local image, or an Error
    std::function<void(const std::string&)> say = [](const std::string&) {};  ///< one line of progress, for people
};

/// A base that is ready: a raw disk image with MBR, FAT (p1) and ext4 (p2) that is never written again.
struct BaseImage {
    std::filesystem::path path;
    BaseFacts facts;
    /// As long as this or a copy lives, no other build clears the base away.
    std::shared_ptr<const void> in_use = nullptr;
};

/// Gives the base, from the cache or newly made. Safe with several builds at once and after a kill at any moment.
/// Throws Untrusted for a wrong signature or hash, Error for anything else.
[[nodiscard]] BaseImage prepare_base(const BaseRequest& request);

}  // namespace makina
