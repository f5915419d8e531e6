#include "firstboot/bundle/digest.hpp"

#include <gtest/gtest.h>

namespace makina {
namespace {

// The examples of FIPS 180-4.
TEST(Sha256, GivesTheStandardsExamples) {
    EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, GivesTheSameForPieces) {
    Sha256 digest;
    digest.update("a");
    digest.update("");
    digest.update("bc");
    EXPECT_EQ(digest.hex(), sha256("abc"));
}

}  // namespace
}  // namespace makina
