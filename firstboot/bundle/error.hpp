#pragma once

#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace makina {

/// A fault: something that should have worked did not. The text is for a person, lower case without a final period:
/// what, where, and what to do. Thrown once, where it is known; `during` adds where the program was.
class Error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

/// An input that fails its signature or its checksum. It passes through every `during` to the top: distrust is final.
class Untrusted : public Error {
  public:
    using Error::Error;
};

/// Runs `work`; an Error that leaves it is thrown again with `what` before it: "building master-1: writing
/// /etc/hostname: no space left on device". An Untrusted stays an Untrusted.
template <typename Work>
auto during(const std::string& what, Work&& work) -> std::invoke_result_t<Work> {
    try {
        return std::forward<Work>(work)();
    } catch (const Untrusted& error) {
        throw Untrusted(what + ": " + error.what());
    } catch (const Error& error) {
        throw Error(what + ": " + error.what());
    } catch (const std::runtime_error& error) {
        throw Error(what + ": " + error.what());
    }
}

/// The text of an errno value, in the words of strerror(3) but thread-safe and in lower case.
[[nodiscard]] std::string system_message(int number);

/// Throws Error "<what>: <text of errno>"; call it at once after the failed system call.
[[noreturn]] void throw_system(const std::string& what);

}  // namespace makina
