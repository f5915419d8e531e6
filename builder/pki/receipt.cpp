#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>

#include "builder/pki/state.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Digest = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;

/// Nobody takes a receipt's signature for a bundle's: those are CMS, and this stands before the words.
constexpr const char* purpose = "makina flash receipt: ";

std::string sign(const std::string& words, const Key& key) {
    const std::string text = purpose + words;
    const Digest digest(EVP_MD_CTX_new());
    std::size_t size = 0;
    if (!digest || EVP_DigestSignInit(digest.get(), nullptr, EVP_sha256(), nullptr, key.get()) != 1 ||
        EVP_DigestSign(digest.get(), nullptr, &size, reinterpret_cast<const unsigned char*>(text.data()),
                       text.size()) != 1)
        throw_openssl("signing a receipt");
    std::string signature(size, '\0');
    if (EVP_DigestSign(digest.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                       reinterpret_cast<const unsigned char*>(text.data()), text.size()) != 1)
        throw_openssl("signing a receipt");
    signature.resize(size);
    return to_hex(signature);
}

bool is_signed(const std::string& words, const std::string& hex, const Certificate& signer) {
    const std::string text = purpose + words;
    // What is no hexadecimal text was refused when the ledger was read.
    std::string signature;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        signature += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    const Digest digest(EVP_MD_CTX_new());
    if (!digest ||
        EVP_DigestVerifyInit(digest.get(), nullptr, EVP_sha256(), nullptr, X509_get0_pubkey(signer.get())) != 1)
        throw_openssl("checking a receipt");
    return EVP_DigestVerify(digest.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                            reinterpret_cast<const unsigned char*>(text.data()), text.size()) == 1;
}

}  // namespace

void Keys::note_flashed(FlashReceipt receipt) {
    const Generation newest = state_->material.generations().back();
    receipt.signer = fingerprint(newest.signer);
    receipt.signature = sign(signed_words(receipt), state_->material.credential(newest.folder() + "/signer").key);
    if (!is_signed(signed_words(receipt), receipt.signature, newest.signer))
        throw Error("a receipt was signed wrongly");
    Ledger ledger = state_->ledger;
    ledger.flashed.push_back(std::move(receipt));
    state_->save(std::move(ledger));
}

std::vector<FlashReceipt> Keys::receipts() const {
    return state_->ledger.flashed;
}

bool Keys::is_genuine(const FlashReceipt& receipt) const {
    const std::vector<Generation> generations = state_->material.generations();
    return std::any_of(generations.begin(), generations.end(), [&](const Generation& generation) {
        return fingerprint(generation.signer) == receipt.signer &&
               is_signed(signed_words(receipt), receipt.signature, generation.signer);
    });
}

}  // namespace makina
