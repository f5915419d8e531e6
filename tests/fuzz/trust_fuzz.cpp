#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/trust.hpp"

/// A card's trust file: what is read is written again as the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string text(reinterpret_cast<const char*>(data), size);
    try {
        const makina::Trust trust = makina::decode_trust(text);
        if (makina::encode(trust) != text) __builtin_trap();
        if (trust.anchors.empty() || trust.anchors.size() > makina::Trust::most_anchors) __builtin_trap();
    } catch (const makina::Untrusted& error) {
        const std::string words = error.what();
        if (std::any_of(words.begin(), words.end(), [](char c) { return c < ' ' || c > '~'; })) __builtin_trap();
    }
    return 0;
}
