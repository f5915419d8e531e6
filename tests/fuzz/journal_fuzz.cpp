#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "firstboot/bundle/error.hpp"
#include "firstboot/journal.hpp"

/// Whatever the bytes are: they are refused, or they are exactly what would be written for what they say; and any bytes
/// can be noted and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    try {
        if (makina::encode(makina::decode_journal(bytes)) != bytes) __builtin_trap();
    } catch (const makina::Error&) {
        // Refused.
    }
    makina::Journal journal;
    const std::size_t half = size / 2;
    journal.add({makina::Note::Kind::fault, static_cast<std::int64_t>(size), std::string(bytes.substr(0, half)),
                 std::string(bytes.substr(half))});
    if (makina::decode_journal(makina::encode(journal)) != journal) __builtin_trap();
    return 0;
}
