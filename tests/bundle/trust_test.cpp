#include <gtest/gtest.h>

#include <string>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/trust.hpp"
#include "tests/bundle/bundles.hpp"

namespace makina {
namespace {

const std::string head = "makina-trust 1\ncluster-id 00112233445566778899aabbccddeeff\nnode worker-1\nrole worker\n";
const std::string revoked(64, 'a');

std::string refusal(const std::string& text) {
    try {
        static_cast<void>(decode_trust(text));
        return "";
    } catch (const Untrusted& error) {
        return error.what();
    }
}

TEST(Trust, ReadsWhatItWrote) {
    // RFC 4648, 10: the test vectors of base64.
    Trust trust{forge::cluster_id, "worker-1", "worker", {"f", "fo", "foo", "foob"}, {revoked}};
    EXPECT_EQ(encode(trust),
              head + "anchor Zg==\nanchor Zm8=\nanchor Zm9v\nanchor Zm9vYg==\nrevoked " + revoked + "\n");
    EXPECT_EQ(decode_trust(encode(trust)), trust);
    for (std::size_t size = 1; size < 300; ++size) {
        trust.anchors = {std::string(size, '\xfb')};
        EXPECT_EQ(decode_trust(encode(trust)), trust);
    }
}

TEST(Trust, RefusesEachWrongLine) {
    EXPECT_EQ(refusal(head), "a line without its end, line 5");
    EXPECT_EQ(refusal(head + "anchor Zg==\n"), "");
    for (const char* const bad :
         {"Zg=", "Zg", "Zg===", "Zh==", "Zg==Zg==", "Zm9v Zm9v", "Zm9-", "====", "Z", "=Zm9v", "Zm9v=", " Zg=="}) {
        EXPECT_EQ(refusal(head + "anchor " + bad + "\n"), "\"anchor\" is not strict base64, line 5") << bad;
    }
    EXPECT_EQ(refusal(head + "anchor Zg==\nanchor Zg==\n"), "an anchor twice, line 6");
    EXPECT_EQ(refusal(head + "anchor AA==\nanchor AQ==\nanchor Ag==\nanchor Aw==\nanchor BA==\n"),
              "more than 4 anchors, line 9");
    EXPECT_EQ(refusal(head + "anchor Zg==\nrevoked " + revoked + "\nrevoked " + revoked + "\n"),
              "a revoked signer twice, line 7");
    EXPECT_EQ(refusal(head + "anchor Zg==\nrevoked " + std::string(64, 'A') + "\n"),
              "\"revoked\" is not 64 lower-case hex digits, line 6");
    EXPECT_EQ(refusal(head + "anchor Zg==\nrevoked " + revoked + "\nanchor Zm8=\n"),
              "something else follows the last line, line 6");
    EXPECT_EQ(refusal(head + "anchor Zg=="), "a line without its end, line 5");
    EXPECT_EQ(refusal(head + "anchor Zg==\n\n"), "something else follows the last line, line 5");
    EXPECT_EQ(refusal("makina-trust 1\n\n"), "\"cluster-id\" and a value are expected, line 2");
    EXPECT_EQ(refusal(std::string(Trust::largest + 1, 'x')), "the trust file is larger than any can be");
    std::string many = head + "anchor Zg==\n";
    for (int i = 0; i < 65; ++i) many += "revoked " + std::string(62, 'a') + std::to_string(10 + i) + "\n";
    EXPECT_EQ(refusal(many), "more than 64 revoked signers, line 70");
}

TEST(Trust, IsNotWrittenIfItCouldNotBeRead) {
    const Trust none{forge::cluster_id, "worker-1", "worker", {}, {}};
    try {
        static_cast<void>(encode(none));
        ADD_FAILURE();
    } catch (const Untrusted&) {
        ADD_FAILURE() << "distrusts itself";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "the trust file cannot be written: a line without its end, line 5");
    }
}

TEST(Row23, KnowsOneVersionOfTheTrustFile) {
    for (const char* const version : {"0", "2", "255", "01", "1 "}) {
        EXPECT_EQ(refusal(std::string("makina-trust ") + version + "\n" + head.substr(15) + "anchor Zg==\n"),
                  "\"makina-trust 1\" is expected, line 1");
    }
}

}  // namespace
}  // namespace makina
