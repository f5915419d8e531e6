#pragma once

#include <functional>
#include <string>

namespace makina {

/// Runs `work` in a child process that can do nothing but compute: no file or socket is open or can be opened, 128 MiB
/// of memory beyond what we have, 2 seconds. Gives what `work` returns, at most 2 MiB; an Error or Untrusted that it
/// throws is thrown here. A child that ends in any other way is Untrusted "<what> ended with signal 31". Throws Error
/// if the child cannot be confined. Another thread of ours that holds a lock at this moment can make the child hang,
/// and so the answer Untrusted.
[[nodiscard]] std::string confined(const std::string& what, const std::function<std::string()>& work);

/// In the calling process, for good: every system call but those of mere computing ends it with SIGSYS; only `out` can
/// be written to. Throws Error.
void allow_only_computing(int out);

}  // namespace makina
