#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tests/bundle/bundles.hpp"

namespace makina::forge {

/// A sealed bundle and the card that shall judge it.
struct Case {
    std::string sealed;
    Trust trust;
};

/// What `openssl cms -verify` says with the options that users are told.
enum class Openssl {
    accepts,
    refuses,
    either  ///< it depends on which of two certificates its sorting puts first
};

/// One wrong or right way to certify and to sign.
struct Vector {
    const char* name;
    const char* words;  ///< what open_sealed says; empty: it accepts
    Openssl openssl;
    std::function<Case(const World&)> make;
};

/// By what they are about.
[[nodiscard]] std::vector<Vector> chain_vectors();
[[nodiscard]] std::vector<Vector> signer_vectors();
[[nodiscard]] std::vector<Vector> key_vectors();
[[nodiscard]] std::vector<Vector> message_vectors();
[[nodiscard]] std::vector<Vector> all_vectors();

}  // namespace makina::forge
