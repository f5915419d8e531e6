#pragma once

#include <string>

#include "firstboot/host.hpp"
#include "firstboot/machine/files.hpp"

namespace makina {

/// A line for the journal, on standard error, at priority "warning" (sd-daemon(3)) if the journal listens; and with
/// `console` on /dev/console too. What is not printable ASCII becomes "?".
void say_line(const std::string& line, bool console);

/// Lets the board's ACT light show how the node is: the kernel's timer blinks it, so that it goes on by itself. A board
/// without such a light is fine.
void show_light(const Files& files, Light light);

}  // namespace makina
