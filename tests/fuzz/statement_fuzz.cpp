#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "firstboot/bundle/error.hpp"
#include "firstboot/join/statement.hpp"

// What another node says of itself: read or refused, and written again as it was read.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        if (makina::encode(makina::decode_statement(text)) != text) std::abort();
    } catch (const makina::Untrusted&) {
    }
    return 0;
}
