#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace makina {

/// Why this file should not be written to a card: it is empty, it is not packed as its name says, it is an archive, or
/// what it holds begins with neither a partition table nor a file system. Nothing if it may. Looks at the first MiB,
/// unpacked. `any_content` takes whatever is not empty. Throws Error for a file that is damaged so early.
[[nodiscard]] std::optional<std::string> image_refusal(const std::filesystem::path& file, bool any_content);

}  // namespace makina
