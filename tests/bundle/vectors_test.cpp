#include <gtest/gtest.h>

#include <set>
#include <string>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/bundle/vectors.hpp"
#include "tests/unit/figures.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

const forge::World& world() {
    static const forge::World made;
    return made;
}

/// Empty if it is accepted, else what is said.
std::string verdict(const forge::Case& made) {
    try {
        return open_sealed(made.sealed, made.trust).bundle == forge::worker_bundle() ? "" : "another bundle";
    } catch (const Untrusted& error) {
        return error.what();
    }
}

/// What a person types to check a bundle without MAKINA (README): the anchors come from a card's
/// /usr/lib/makina/trust,
///     sed -n 's/^anchor //p' trust | while read -r line; do
///         echo "$line" | base64 -d | openssl x509 -inform DER
///     done > anchors.pem
/// and the content of the bundle, if the seal is right, goes to standard output:
///     openssl cms -verify -binary -inform DER -in makina.bundle -CAfile anchors.pem -no-CApath -no-CAstore
///         -purpose any -auth_level 2 -no_check_time -out content
/// OpenSSL's rules are wider than the node's: this accepts more. It must never accept less.
bool openssl_accepts(const Scratch& scratch, const forge::Case& made, std::string& content) {
    std::string anchors;
    for (const std::string& anchor : made.trust.anchors) {
        anchors += run({{"openssl", "x509", "-inform", "DER"}, {}, {}, anchor}).output;
    }
    const std::string from = scratch.write("makina.bundle", made.sealed).string();
    const std::string believed = scratch.write("anchors.pem", anchors).string();
    const std::string to = scratch.write("content", "").string();
    const Result result =
        run({{"openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", from, "-CAfile", believed, "-no-CApath",
              "-no-CAstore", "-purpose", "any", "-auth_level", "2", "-no_check_time", "-out", to}});
    content = slurp(to);
    return result.status == 0;
}

TEST(Row11, JudgesEveryVectorAsExpected) {
    std::set<std::string> names;
    for (const forge::Vector& vector : forge::all_vectors()) {
        SCOPED_TRACE(vector.name);
        EXPECT_TRUE(names.insert(vector.name).second) << "two vectors of one name";
        const std::string said = verdict(vector.make(world()));
        if (vector.words != nullptr) {
            EXPECT_EQ(said, vector.words);
        } else {
            EXPECT_EQ(said.rfind("a certificate of the chain is revoked: ", 0), 0U) << said;
        }
    }
    EXPECT_GE(names.size(), 60U);
    figures::count("pki_vectors", names.size());
}

TEST(Row11, IsNeverWiderThanOpenssl) {
    if (!have_program("openssl")) GTEST_SKIP() << "openssl is not installed: apt install openssl";
    const Scratch scratch;
    std::size_t narrower = 0;
    for (const forge::Vector& vector : forge::all_vectors()) {
        SCOPED_TRACE(vector.name);
        const forge::Case made = vector.make(world());
        std::string content;
        const bool accepts = openssl_accepts(scratch, made, content);
        if (vector.openssl != forge::Openssl::either) {
            EXPECT_EQ(accepts, vector.openssl == forge::Openssl::accepts);
        }
        const bool ours = vector.words != nullptr && *vector.words == '\0';
        EXPECT_TRUE(accepts || !ours) << "the node accepts what openssl refuses";
        if (ours) {
            EXPECT_EQ(content, world().content);
        }
        if (accepts && !ours) ++narrower;
    }
    figures::count("pki_vectors_only_openssl_accepts", narrower);
}

TEST(Seal, AcceptsWhatOpensslSigns) {
    if (!have_program("openssl")) GTEST_SKIP() << "openssl is not installed: apt install openssl";
    const Scratch scratch;
    EVP_PKEY* const key = world().signer.key.get();
    unsigned char* bytes = nullptr;
    const int size = i2d_PrivateKey(key, &bytes);
    ASSERT_GT(size, 0);
    scratch.write("key.der", {reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size)});
    OPENSSL_free(bytes);
    scratch.write("signer.pem", run({{"openssl", "x509", "-inform", "DER"}, {}, {}, world().signer.der}).output);
    scratch.write("content", world().content);
    for (const char* const digest : {"sha256", "sha384"}) {
        const Result result = run({{"openssl",   "cms",
                                    "-sign",     "-binary",
                                    "-nodetach", "-nosmimecap",
                                    "-md",       digest,
                                    "-signer",   (scratch / "signer.pem").string(),
                                    "-inkey",    (scratch / "key.der").string(),
                                    "-keyform",  "DER",
                                    "-in",       (scratch / "content").string(),
                                    "-outform",  "DER",
                                    "-out",      (scratch / "sealed").string()}});
        ASSERT_EQ(result.status, 0) << result.errors;
        EXPECT_EQ(verdict({slurp(scratch / "sealed"), world().trust}), "");
    }
}

}  // namespace
}  // namespace makina
