#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "builder/process.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/plans.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// What a node runs at every boot, on a folder that stands for its root.
class SshHostKeys : public ::testing::Test {
  protected:
    Scratch root_;
    std::filesystem::path ssh_ = root_ / "etc/ssh";

    void SetUp() override {
        if (!have_program("ssh-keygen")) GTEST_SKIP() << "needs ssh-keygen";
        std::filesystem::create_directories(ssh_);
        make();
    }
    void make() const {
        const std::string script = std::string(MAKINA_SOURCE) + "/overlays/any/usr/lib/makina/ssh-host-keys";
        const Result result = run({{"sh", script, root_.path().string()}});
        EXPECT_EQ(result.status, 0) << result.errors;
    }
    [[nodiscard]] std::map<std::string, std::string> keys() const {
        std::map<std::string, std::string> all;
        for (const auto& entry : std::filesystem::directory_iterator(ssh_)) {
            all[entry.path().filename()] = slurp(entry.path());
        }
        return all;
    }
};

TEST_F(SshHostKeys, AreMadeOnce) {
    const auto first = keys();
    EXPECT_THAT(first.at("ssh_host_ed25519_key"), HasSubstr("PRIVATE KEY"));
    EXPECT_THAT(first.at("ssh_host_ed25519_key.pub"), StartsWith("ssh-ed25519 "));
    make();
    EXPECT_EQ(keys(), first);
    // One that somebody does not want stays away.
    std::filesystem::remove(ssh_ / "ssh_host_ecdsa_key");
    std::filesystem::remove(ssh_ / "ssh_host_ecdsa_key.pub");
    make();
    EXPECT_FALSE(std::filesystem::exists(ssh_ / "ssh_host_ecdsa_key"));
}

TEST_F(SshHostKeys, ThatAPowerCutLeftEmptyAreMadeAnew) {
    const auto before = keys();
    for (const auto& [name, content] : before) {
        (void)root_.write("etc/ssh/" + name, "");
        make();
        auto now = keys();
        EXPECT_NE(now.at(name), "") << name;
        for (const auto& [other, text] : now) EXPECT_NE(text, "") << other << " after " << name;
        // The public half is in the key.
        const std::string key = name.substr(0, name.find(".pub"));
        const std::string half = before.at(key + ".pub").substr(0, before.at(key + ".pub").rfind(' '));
        if (name != key) {
            EXPECT_THAT(now.at(name), StartsWith(half)) << name;
        }
        for (const auto& [other, text] : before) (void)root_.write("etc/ssh/" + other, text);
    }
    for (const auto& [name, content] : before) (void)root_.write("etc/ssh/" + name, "");
    make();
    for (const auto& [name, content] : keys()) EXPECT_NE(content, "") << name;
}

TEST(Plan, LooksForEmptySshHostKeysAtEveryBoot) {
    const ImagePlan plan = plans::plan_of(clusters::pair(), "worker-1");
    const std::string unit = plans::content(plan, "/etc/systemd/system/makina-ssh-host-keys.service");
    EXPECT_THAT(unit, HasSubstr("\nExecStart=/usr/lib/makina/ssh-host-keys\n"));
    EXPECT_THAT(unit, Not(HasSubstr("\nCondition")));
    EXPECT_EQ(plan.files.find("/usr/lib/makina/ssh-host-keys")->mode, 0755U);
    EXPECT_THAT(plans::content(plan, "/usr/lib/makina/ssh-host-keys"), HasSubstr("sync \"$ssh\"/ssh_host_* \"$ssh\""));
}

}  // namespace
}  // namespace makina
