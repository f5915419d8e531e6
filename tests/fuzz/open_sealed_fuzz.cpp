#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/fuzz/known_signer.hpp"

namespace makina {
namespace {

const Trust& card() {
    static const Trust trust = forge::known_trust();
    return trust;
}

std::optional<Opened> open(const std::string& sealed) {
    try {
        return open_sealed(sealed, card());
    } catch (const Untrusted&) {
        return std::nullopt;
    }
}

/// Bytes as they could come from a card. Only those that were sealed once are accepted: nobody forges here.
void open_bytes(const std::string& sealed) {
    if (!open(sealed)) return;
    if (std::find(forge::genuine.begin(), forge::genuine.end(), sha256(sealed)) == forge::genuine.end()) {
        __builtin_trap();
    }
}

/// Content behind a genuine seal: accepted exactly if it is a bundle for this card, and then as it is read without one.
void open_content(const std::string& content) {
    static const forge::Certificate signer = forge::known_signer();
    const std::string sealed = message(forge::good_seal(content, signer));
    const std::optional<Opened> opened = open(sealed);
    std::optional<Bundle> bundle;
    try {
        bundle = decode_bundle(content);
    } catch (const Untrusted&) {
        if (opened) __builtin_trap();
        return;
    }
    if (opened) {
        if (opened->bundle != *bundle || opened->signer != sha256(signer.der)) __builtin_trap();
        return;
    }
    if (sealed.size() > Bundle::largest) return;
    const Sealed verified = verify_seal(sealed, card());
    const bool ours = bundle->cluster_id == card().cluster_id && bundle->node == card().node &&
                      bundle->role == card().role && bundle->issued >= verified.not_before &&
                      bundle->issued <= verified.not_after;
    if (ours || verified.content != content) __builtin_trap();
}

}  // namespace
}  // namespace makina

/// The whole path from a card's bytes to an opened bundle, the seal verified. The first byte says what the others are.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::string bytes(reinterpret_cast<const char*>(data + 1), size - 1);
    if (data[0] % 2 == 0) {
        makina::open_bytes(bytes);
    } else {
        makina::open_content(bytes);
    }
    return 0;
}
