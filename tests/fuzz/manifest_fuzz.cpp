#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"

/// A bundle's content: what is read is written again as the same bytes, and fits a node; whatever is not read is
/// refused in printable words.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string content(reinterpret_cast<const char*>(data), size);
    try {
        const makina::Bundle bundle = makina::decode_bundle(content);
        if (makina::encode(bundle) != content) __builtin_trap();
        for (const makina::Payload& payload : bundle.payloads) {
            if (makina::payload_kind(bundle.role, payload.name) == nullptr) __builtin_trap();
            if (payload.content.size() > makina::largest_payload) __builtin_trap();
        }
        if (!makina::without_payloads(bundle).payloads.empty()) __builtin_trap();
    } catch (const makina::Untrusted& error) {
        const std::string words = error.what();
        if (std::any_of(words.begin(), words.end(), [](char c) { return c < ' ' || c > '~'; })) __builtin_trap();
    }
    return 0;
}
