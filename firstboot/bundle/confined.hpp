#pragma once

#include <functional>
#include <string>

namespace makina {

/// How long confined work may take. A sound bundle is read in milliseconds; a starved board or an emulator can take a
/// thousand times as long, and that must not count against the bundle.
struct Patience {
    unsigned int computing = 20;  ///< seconds of processor time
    unsigned int waiting = 60;    ///< seconds in all
};

/// Runs `work` in a child process that can do nothing but compute: no file or socket is open or can be opened, 128 MiB
/// of memory beyond what we have, and no more time than `patience`. Gives what `work` returns, at most 2 MiB; an Error
/// or Untrusted that it throws is thrown here. A child that breaks (a fault of memory, a forbidden system call, no
/// answer) is Untrusted "<what> ended with signal 31". One that was too slow or was short of memory says nothing about
/// the bundle: that is an Error, and may be tried again. Throws Error if the child cannot be confined.
[[nodiscard]] std::string confined(const std::string& what, const std::function<std::string()>& work,
                                   const Patience& patience = {});

/// In the calling process, for good: every system call but those of mere computing ends it with SIGSYS; only `out` can
/// be written to. Throws Error.
void allow_only_computing(int out);

}  // namespace makina
