#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// What an image says about itself in /usr/lib/makina/manifest (0644): which node it is for, and every file that was
/// written over the base. `inspect` and `rehearse` read it; the node never does.
///
/// Lines of text, each ended by a newline:
///     makina-manifest 1
///     cluster NAME
///     node NAME
///     role NAME
///     base ID
///     built SECONDS
///     file SHA256 MODE USER GROUP PATH<tab>ORIGIN     any number of times
/// The path has bytes up to 0x20, '%' and bytes from 0x7f on percent-encoded; so have the other values and the origin,
/// which keep their spaces.
struct Manifest {
    static constexpr const char* path = "/usr/lib/makina/manifest";

    struct Entry {
        std::string sha256;      ///< 64 lower-case hex digits: of a regular file's bytes, or of a symlink's target
        std::uint32_t mode = 0;  ///< permission bits, written in octal
        std::string user, group;
        std::string path;    ///< absolute
        std::string origin;  ///< where it comes from, for people
        auto operator<=>(const Entry&) const = default;
    };

    std::string cluster;
    std::string node;
    std::string role;        ///< as profiles spell it: "control-plane"
    std::string base;        ///< BaseFacts::id
    std::int64_t built = 0;  ///< seconds since 1970
    std::vector<Entry> files;
    auto operator<=>(const Manifest&) const = default;
};

/// The manifest as text. Throws Error for what `decode` would refuse, such as a hash that is none.
[[nodiscard]] std::string encode(const Manifest& manifest);

/// Reads what `encode` wrote, and nothing else: throws Error "line 3: ..." for an unknown, missing, repeated or
/// misplaced line.
[[nodiscard]] Manifest decode(std::string_view text);

}  // namespace makina
