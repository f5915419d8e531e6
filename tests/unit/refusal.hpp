#pragma once

#include <string>

#include "firstboot/bundle/error.hpp"

namespace makina {

/// How a base was refused: the error's words, with "untrusted: " before them if it is not genuine; "accepted" if it was
/// not refused.
template <typename Work>
std::string refusal(const Work& work) {
    try {
        work();
    } catch (const Untrusted& error) {
        return std::string("untrusted: ") + error.what();
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

}  // namespace makina
