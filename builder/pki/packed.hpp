#pragma once

#include <string>
#include <string_view>

#include "builder/pki/folder.hpp"

namespace makina {

/// Files as one text: for each by its path, ascending, the line "file PATH SIZE"; the line "end"; then the files' bytes
/// in the same order, up to the last. Throws Error for a path that no file of keys has.
[[nodiscard]] std::string packed(const Files& files);
/// Reads what `packed` wrote, and nothing else; throws Untrusted "<what>, line 3". No path leads out of a folder.
[[nodiscard]] Files unpacked(std::string_view content);

}  // namespace makina
