#include "builder/base/openpgp.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "firstboot/bundle/error.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using testing::ElementsAre;

std::string refusal(const std::string& file) {
    try {
        (void)read_public_keys(file);
    } catch (const Error& error) {
        return error.what();
    }
    return "accepted";
}

/// A public key of version 4 in an old-format packet: its fields are never looked at, only hashed.
const std::string key = std::string("\x98\x06\x04", 3) + "fghij";

TEST(OpenPgp, KnowsDebiansKeysByTheirPublishedFingerprints) {
    // https://ftp-master.debian.org/keys.html: the stable release keys of Debian 12 and 13.
    const std::filesystem::path keyrings = "/usr/share/keyrings";
    const auto twelve = keyrings / "debian-archive-bookworm-stable.gpg";
    if (!std::filesystem::exists(twelve)) GTEST_SKIP() << "debian-archive-keyring is not installed";
    EXPECT_THAT(read_public_keys(slurp(twelve)).fingerprints, ElementsAre("4D64FEC119C2029067D6E791F8D2585B8783D481"));
    const auto all = keyrings / "debian-archive-keyring.gpg";
    EXPECT_THAT(read_public_keys(slurp(all)).fingerprints,
                testing::Contains("4D64FEC119C2029067D6E791F8D2585B8783D481"));
}

TEST(OpenPgp, ReadsArmorWithHeadersAndChecksum) {
    // "mAYEZmdoaWo=" is the base64 of the key above.
    const std::string armored =
        "some words\n-----BEGIN PGP PUBLIC KEY BLOCK-----\r\nVersion: GnuPG v2.0.15\r\nComment: x\r\n\r\n"
        "mAYEZm\ndoaWo=\n=AAAA\n-----END PGP PUBLIC KEY BLOCK-----\n";
    const PublicKeys keys = read_public_keys(armored);
    EXPECT_EQ(keys.packets, key);
    EXPECT_EQ(keys.fingerprints, read_public_keys(key).fingerprints);
    ASSERT_EQ(keys.fingerprints.size(), 1U);
    EXPECT_EQ(keys.fingerprints[0].size(), 40U);
}

TEST(OpenPgp, ListsEveryPrimaryKeyAndNoSubkey) {
    const std::string user_id = std::string("\xcd\x03", 2) + "joe";
    const std::string subkey = std::string("\xb8\x06\x04", 3) + "klmno";
    const std::string long_form = std::string("\xc6\xff\x00\x00\x00\x06\x04", 7) + "fghij";
    const PublicKeys keys = read_public_keys(key + user_id + subkey + long_form);
    ASSERT_EQ(keys.fingerprints.size(), 2U);
    EXPECT_EQ(keys.fingerprints[0], keys.fingerprints[1]);
}

TEST(OpenPgp, RefusesWhatIsNotExactlyPublicKeys) {
    EXPECT_EQ(refusal(""), "the file holds no OpenPGP keys");
    EXPECT_EQ(refusal("<html>"), "the file holds no OpenPGP keys");
    EXPECT_EQ(refusal(key.substr(0, 5)), "the key ends in the middle of a packet");
    EXPECT_EQ(refusal(key + "\x98"), "the key ends in the middle of a packet");
    EXPECT_EQ(refusal("\x9b" + key), "a packet of the key has no length");
    EXPECT_EQ(refusal("\xc6\xe1" + key), "a packet of the key comes in parts");
    EXPECT_EQ(refusal(std::string("\x98\x02\x03z", 4)), "the key is not one of version 4");
    EXPECT_EQ(refusal(std::string("\xcd\x03", 2) + "joe" + key), "the file does not begin with a public key");
    EXPECT_EQ(refusal(key + std::string("\x94\x01s", 3)), "the file holds something else than public keys");
    const std::string begin = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n";
    EXPECT_EQ(refusal(begin + "mAYE\n"), "the armor of the key has no end");
    EXPECT_EQ(refusal(begin + "mA?E\n-----END PGP PUBLIC KEY BLOCK-----\n"), "the armor of the key is damaged");
}

}  // namespace
}  // namespace makina
