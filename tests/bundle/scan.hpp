#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "builder/pki/material.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina::scan {

/// One way in which a secret of the keys' folder could lie somewhere.
struct Form {
    std::string key;  ///< "etcd-ca.key"
    std::string how;  ///< "raw"
    std::string bytes;
};

/// The private number of a key, as raw bytes: what every encoding of the key has in it.
inline std::string private_number(const Key& key) {
    BIGNUM* number = nullptr;
    const bool rsa = EVP_PKEY_is_a(key.get(), "RSA") == 1;
    if (EVP_PKEY_get_bn_param(key.get(), rsa ? OSSL_PKEY_PARAM_RSA_D : OSSL_PKEY_PARAM_PRIV_KEY, &number) != 1) {
        throw std::runtime_error("a key has no private number");
    }
    const Handle<BIGNUM, BN_clear_free> owned(number);
    std::string bytes(rsa ? 256 : 32, '\0');
    BN_bn2binpad(number, reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    return bytes;
}

/// The characters of base64 that depend on the secret alone, for each of the three places where it may begin.
inline std::vector<std::string> in_base64(const std::string& secret) {
    std::vector<std::string> texts;
    for (std::size_t before = 0; before < 3; ++before) {
        const std::string text = to_base64(std::string(before, '\0') + secret);
        // Each character has six bits: the first whole one after `before` bytes, the last whole one of the secret.
        const std::size_t first = (before * 8 + 5) / 6;
        const std::size_t last = (before + secret.size()) * 8 / 6;
        texts.push_back(text.substr(first, last - first));
    }
    return texts;
}

inline void add_forms(std::vector<Form>& forms, const std::string& key, const std::string& secret) {
    forms.push_back({key, "raw", secret});
    std::string hex = to_hex(secret);
    forms.push_back({key, "hex", hex});
    std::transform(hex.begin(), hex.end(), hex.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    forms.push_back({key, "HEX", hex});
    for (const std::string& text : in_base64(secret)) forms.push_back({key, "base64", text});
}

/// Every secret of the folder in every form. A PEM file is base64 with line breaks, and base64 of a PEM file is what
/// kubeconfigs have; both have forms of their own.
inline std::vector<Form> forms_of(const std::filesystem::path& folder, const std::string& passphrase = "") {
    const Material material(folder, passphrase);
    std::vector<Form> forms;
    for (const auto& [path, content] : material.all()) {
        if (path == "encryption.key") {
            forms.push_back({path, "as it is", material.secret(path)});
            for (const std::string& text : in_base64(material.secret(path))) forms.push_back({path, "base64", text});
        } else if (path.size() > 4 && path.compare(path.size() - 4, 4, ".key") == 0) {
            const Key key = material.key(path.substr(0, path.size() - 4));
            add_forms(forms, path, private_number(key));
            const std::string pem = private_pem(key, "");
            forms.push_back({path, "PEM", pem.substr(pem.find('\n') + 1, 64)});
            for (const std::string& text : in_base64(pem.substr(pem.find('\n') + 1 + 24, 80))) {
                forms.push_back({path, "base64 of PEM", text});
            }
        }
    }
    return forms;
}

/// Which forms lie in the bytes: as they are, or with line breaks taken out.
inline std::vector<Form> found_in(std::string_view bytes, const std::vector<Form>& forms) {
    std::string joined;
    for (const char c : bytes) {
        if (c != '\n' && c != '\r') joined += c;
    }
    std::vector<Form> found;
    for (const Form& form : forms) {
        if (bytes.find(form.bytes) != std::string_view::npos || joined.find(form.bytes) != std::string::npos) {
            found.push_back(form);
        }
    }
    return found;
}

inline std::set<std::string> keys_of(const std::vector<Form>& forms) {
    std::set<std::string> keys;
    for (const Form& form : forms) keys.insert(form.key);
    return keys;
}

}  // namespace makina::scan
