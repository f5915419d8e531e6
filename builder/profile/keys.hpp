#pragma once

#include <string>
#include <vector>

namespace makina {

/// The keys that profile_keys() has directly below a pattern ("" for the top level).
[[nodiscard]] std::vector<std::string> keys_below(const std::string& pattern);

/// `, it belongs below network` if `key` is one of another section, else empty.
[[nodiscard]] std::string belongs_elsewhere(const std::string& key);

}  // namespace makina
