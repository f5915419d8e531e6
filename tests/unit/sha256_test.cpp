#include "builder/sha256.hpp"

#include <gtest/gtest.h>

namespace makina {
namespace {

// The examples of FIPS 180-4.
TEST(Sha256, GivesTheStandardsExamples) {
    EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, GivesTheSameForPieces) {
    Sha256 digest;
    digest.add("a");
    digest.add("");
    digest.add("bc");
    EXPECT_EQ(digest.hex(), sha256_hex("abc"));
}

}  // namespace
}  // namespace makina
