#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "firstboot/bundle/error.hpp"

namespace makina {

/// Reads a file that this daemon has written itself. Damage there is the card's: nobody is distrusted for it, and what
/// the file said is not known, so nothing is done that would have asked it. Throws Error.
template <typename Work>
auto reading_own(const std::string& path, Work&& work) -> std::invoke_result_t<Work> {
    try {
        return std::forward<Work>(work)();
    } catch (const Untrusted& error) {
        throw Error(path + " is damaged (" + error.what() +
                    "): what this card had done is not known, so nothing is begun or removed; write the card anew");
    }
}

}  // namespace makina
