#pragma once

#include <gtest/gtest.h>

#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina::forge {

/// Empty if the content is a bundle, else what is said.
inline std::string refusal_of_content(const std::string& content) {
    try {
        static_cast<void>(decode_bundle(content));
        return "";
    } catch (const Untrusted& error) {
        return error.what();
    }
}

/// The text with the first of `what` changed.
inline std::string replaced(std::string text, const std::string& what, const std::string& with) {
    const std::size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return text.replace(at, what.size(), with);
}

}  // namespace makina::forge
