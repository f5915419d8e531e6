#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "builder/plan.hpp"
#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/trust.hpp"

namespace makina {
namespace {

/// The first bytes of a program; the rest of the daemon is not looked at.
std::string program_for(unsigned char machine) {
    std::string program(
        "\x7f"
        "ELF\x02\x01",
        6);
    program.resize(64, '\0');
    program[18] = static_cast<char>(machine);
    return program;
}

ImagePlan plan_for(Architecture architecture) {
    ImagePlan plan;
    plan.node.architecture = architecture;
    return plan;
}

TEST(Carried, ThingsHaveTheModesThatKeepSecretsFromOthers) {
    ImagePlan plan = plan_for(Architecture::arm64);
    carry(plan, {program_for(183), "trust", "sealed"});
    ASSERT_NE(plan.files.find(Bundle::path), nullptr);
    EXPECT_EQ(plan.files.find(Bundle::path)->mode, 0600U);
    EXPECT_EQ(plan.files.find(Bundle::path)->content, "sealed");
    EXPECT_EQ(plan.files.find("/var/lib/makina")->mode, 0700U);
    EXPECT_EQ(plan.files.find("/var/lib/makina")->kind, FileKind::directory);
    EXPECT_EQ(plan.files.find(std::string(Trust::path))->mode, 0644U);
    EXPECT_EQ(plan.files.find("/usr/sbin/makina-firstboot")->mode, 0755U);
}

TEST(Carried, ACardWithoutABundleWaitsForOne) {
    ImagePlan plan = plan_for(Architecture::amd64);
    carry(plan, {program_for(62), "trust", ""});
    EXPECT_EQ(plan.files.find(Bundle::path), nullptr);
    EXPECT_NE(plan.files.find(std::string(Trust::path)), nullptr);
}

TEST(Carried, ADaemonOfAnotherArchitectureIsRefused) {
    for (const auto& [architecture, program] :
         {std::pair{Architecture::arm64, program_for(62)}, std::pair{Architecture::arm64, std::string("#!/bin/sh\n")},
          std::pair{Architecture::amd64, program_for(183)}}) {
        ImagePlan plan = plan_for(architecture);
        try {
            carry(plan, {program, "trust", "sealed"});
            FAIL() << "taken";
        } catch (const Error& error) {
            EXPECT_THAT(error.what(), testing::HasSubstr("the daemon is not a program for " + to_string(architecture)));
        }
        EXPECT_TRUE(plan.files.files().empty());
    }
}

}  // namespace
}  // namespace makina
