#pragma once

#include <openssl/x509.h>

#include <array>
#include <string>
#include <string_view>

#include "tests/bundle/seal.hpp"

/// A signer whose key everybody knows: for fuzz targets, so that what they find is behind a genuine seal. No image
/// believes it.
namespace makina::forge {

/// DER in hex: an EC private key (RFC 5915), the signer's certificate and the anchor's.
inline constexpr const char* signers_key =
    "30770201010420357f3234e80a96ea876359ae640f033a1ce45ee77acea79e92f525374a45fa44a00a06082a8648ce3d0301"
    "07a14403420004c9c6f9ab58c82c113088e3208cbc0f731f59d179b4ceab4f9f24cfc812446378a97f96a52ea51e9837670d"
    "97b5eebeac78b9244eadca59d3fae4e42f002f05d9";
inline constexpr const char* signers_certificate =
    "308201a330820148a003020102020203ea300a06082a8648ce3d040302301b3119301706035504030c1062756e646c652061"
    "7574686f72697479301e170d3235313233313030303030305a170d3335313233313030303030305a3011310f300d06035504"
    "030c067369676e65723059301306072a8648ce3d020106082a8648ce3d03010703420004c9c6f9ab58c82c113088e3208cbc"
    "0f731f59d179b4ceab4f9f24cfc812446378a97f96a52ea51e9837670d97b5eebeac78b9244eadca59d3fae4e42f002f05d9"
    "a38185308182300c0603551d130101ff04023000300e0603551d0f0101ff04040302078030220603551d250101ff04183016"
    "06146981fab585df83e0e2aa9d9cadcbe1a6dcb4f81f301d0603551d0e04160414445c08e2472fdd2aedcb587d102fe43ad5"
    "8ed0a5301f0603551d230418301680145f140ff643679cbc0b3585ce9c8feb36d38e06a9300a06082a8648ce3d0403020349"
    "003046022100faba6af5b4669fc118d106e823589ee795803fc2b8f5418c696ef6d709506578022100e0e0801334e3c55adc"
    "0c4fa80b834dc4d3e30875a11a396f72c9799265344fe3";
inline constexpr const char* anchor_certificate =
    "308201683082010ea003020102020203e9300a06082a8648ce3d040302301b3119301706035504030c1062756e646c652061"
    "7574686f72697479301e170d3235313233313030303030305a170d3335313233313030303030305a301b3119301706035504"
    "030c1062756e646c6520617574686f726974793059301306072a8648ce3d020106082a8648ce3d03010703420004fb835428"
    "bccc74330e12fe5c8cfd81bbcb03c23880c658f75cd9a90c45906f60e2c6a5f0310ecdc6668a47f4734bd42095193ada58a1"
    "5e089418edd837ca2813a3423040300f0603551d130101ff040530030101ff300e0603551d0f0101ff040403020106301d06"
    "03551d0e041604145f140ff643679cbc0b3585ce9c8feb36d38e06a9300a06082a8648ce3d0403020348003045022007016d"
    "7c8b1e0c1d619c2f5ab1b44953e67d75b03bdf110a6845f09efa0fd7af022100aa8374b4d74a8ce233b797a79d4dbaf12be3"
    "48a18cb3368830dc63522bda8c0b";

/// SHA-256 of the genuine bundles in corpus/open_sealed: no other bytes may be accepted that are not sealed here.
inline constexpr std::array<std::string_view, 5> genuine = {
    "c4c248d52209c95b40437d4128c4f6ee7d8a6a9b677110639ec48e78ebc46cc3",  // genuine
    "649c00cb65de9070723a9a48ff61c3a88e3af2ee50a06c227797c052a4c628c7",  // genuine-8k
    "325a192415bd728bff3077044156786a1fdf3a044e14679ee1eb99b1638cf634",  // genuine-sha384-time-anchor
    "ccd2ed0d8386079ca9144721e1e1d5c61b04ad62ae7b3083d92241c32676e3d8",  // genuine-over-middle
    "9414f99c2dd4c10f50ba1e88580ae9e581b5af6c7c1c12676b20e4125958c928",  // genuine-p384
};

inline std::string from_hex(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); i += 2)
        bytes += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
    return bytes;
}

inline Certificate known_signer() {
    const std::string der = from_hex(signers_key);
    const auto* at = reinterpret_cast<const unsigned char*>(der.data());
    EVP_PKEY* const key = d2i_PrivateKey(EVP_PKEY_EC, nullptr, &at, static_cast<long>(der.size()));
    require(key != nullptr);
    return {{key, EVP_PKEY_free}, from_hex(signers_certificate), "signer"};
}

/// A card of worker-1 that believes it.
inline Trust known_trust() {
    return {"00112233445566778899aabbccddeeff", "worker-1", "worker", {from_hex(anchor_certificate)}, {}};
}

}  // namespace makina::forge
