#pragma once

#include <filesystem>
#include <string>

namespace makina {

/// The whole content of a file. Throws Error "reading <file>: ...".
[[nodiscard]] std::string read_file(const std::filesystem::path& file);

}  // namespace makina
