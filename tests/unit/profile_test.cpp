#include "builder/profile/profile.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace makina {
namespace {

const std::filesystem::path source = MAKINA_SOURCE;

TEST(Profile, TheDefaultProfileReadsWithoutAComplaint) {
    const auto reading = read_profile(source / "profiles/makina.yaml");
    for (const auto& complaint : reading.complaints) ADD_FAILURE() << to_string("makina.yaml", complaint);
    ASSERT_TRUE(reading.profile);
    EXPECT_EQ(reading.profile->nodes.size(), 9U);
}

}  // namespace
}  // namespace makina
