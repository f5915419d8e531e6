#pragma once

#include <filesystem>
#include <string>

namespace makina {

/// Asks on the terminal, without showing what is typed; twice if it is a `fresh` one. Throws Mistake if there is no
/// terminal (then `option` names the file instead), or if nothing or two different things are typed.
[[nodiscard]] std::string ask_passphrase(const std::string& what, bool fresh, const std::string& option);
/// The first line of a file. Throws Mistake if it is empty, Error if it cannot be read.
[[nodiscard]] std::string passphrase_in(const std::filesystem::path& file);

}  // namespace makina
