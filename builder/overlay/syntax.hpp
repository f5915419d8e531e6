#pragma once

#include <string>
#include <string_view>

#include "builder/overlay/overlay.hpp"

namespace makina {

/// The language that a template writes; see render.
enum class Syntax { yaml, shell, word, line };

/// Throws Error if there is no such syntax.
[[nodiscard]] Syntax parse_syntax(const std::string& word);

/// A value as it stands in a file of this syntax, between `before` and `after` on its line. Throws Error if the value,
/// or the place, is not fit for it; the text names the value and is without file and line.
[[nodiscard]] std::string written(Syntax syntax, const std::string& name, const Value& value, std::string_view before,
                                  std::string_view after);

/// A text for a message: quoted, with everything that could move a terminal's cursor spelled out as \x1b.
[[nodiscard]] std::string shown(std::string_view text);

}  // namespace makina
