#pragma once

namespace makina {

/// The whole program: reads argv, runs one command, prints what went wrong. Gives the exit code:
/// 0 done, 1 a fault, 2 a mistake in the command line or in the profile.
[[nodiscard]] int run_makina_image(int argc, char** argv);

}  // namespace makina
