#pragma once

#include <filesystem>

namespace makina {

/// Where the person's own files are: $HOME, but for root by sudo the home of whoever called sudo. sudo sets HOME to
/// root's, where that person's keys are not. Another HOME is somebody's choice and is taken. Empty if there is none.
[[nodiscard]] std::filesystem::path home_folder();

/// What root by sudo made in `folder`, which lies below home_folder(), and the folders above it that were made for it
/// belong to whoever called sudo from now on. Does nothing for anybody else. What cannot be given stays root's.
void give_to_invoker(const std::filesystem::path& folder);

}  // namespace makina
