#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "builder/card/card.hpp"
#include "builder/process.hpp"
#include "tests/boot/suite.hpp"
#include "tests/unit/figures.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::boot {
namespace {

using Json = nlohmann::json;

/// One node of a profile for each role.
struct Subject {
    const char* role;
    const char* node;
    const char* profile;
    /// How far the daemon comes without anybody's help; one that waits does so at joining.
    const char* state;
    std::vector<std::string> questions;  ///< those that must have been asked; all asked must be answered well
};

std::vector<Subject> subjects() {
    const std::vector<std::string> kubelet = {"memory-cgroup",
                                              "containerd",
                                              "containerd-cgroups",
                                              "sysctl net.bridge.bridge-nf-call-iptables",
                                              "sysctl net.bridge.bridge-nf-call-ip6tables",
                                              "sysctl net.ipv4.ip_forward",
                                              "sysctl fs.inotify.max_user_watches",
                                              "module overlay",
                                              "module br_netfilter"};
    std::vector<Subject> all = {{"control-plane", "master-1", "makina.yaml", "waiting", kubelet},
                                {"worker", "worker-1", "makina.yaml", "waiting", kubelet},
                                {"load-balancer", "lb-1", "makina.yaml", "joined", {"haproxy", "keepalived"}},
                                {"gateway",
                                 "gateway-1",
                                 "two-gateways.yaml",
                                 "joined",
                                 {"nftables", "nftables-loaded", "rules-before-network", "sysctl net.ipv4.ip_forward",
                                  "sysctl net.netfilter.nf_conntrack_buckets", "keepalived", "conntrackd"}},
                                {"etcd", "etcd-1", "external-etcd.yaml", "waiting", {"etcd", "etcd-settings"}}};
    if (!figures::long_form()) all.resize(1);
    return all;
}

/// However the node came to its address, networkd's own settings are in use when that is over.
constexpr const char* own_settings =
    "own-settings=i=0; until grep -h '^NETWORK_FILE=/etc/systemd/network/10-makina' /run/systemd/netif/links/*; do "
    "[ $i -lt 50 ] || exit 1; i=$((i+1)); sleep 1; done; ! grep -h 00-makina /run/systemd/netif/links/*";

class Boot : public testing::TestWithParam<Subject> {
  protected:
    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    }
    [[nodiscard]] std::filesystem::path image() const {
        return image_of(GetParam().node, GetParam().profile, scratch.path());
    }

    Scratch scratch;
};

/// The root partition in whole mebibytes, as a card of this many bytes has it when it is grown.
std::uint64_t grown_root(const std::filesystem::path& image, std::uint64_t card_size) {
    return (card_size - Card(image).root_partition()->offset) >> 20;
}

/// Flashes the image to a card that was full of something else: a loop device, or a file where only root has those.
void flash_over_old_content(const std::filesystem::path& image, const std::filesystem::path& card, std::uint64_t size) {
    {
        std::ofstream old(card, std::ios::binary);
        const std::string pattern(1 << 20, '\xa5');
        for (std::uint64_t at = 0; at < size; at += pattern.size()) old.write(pattern.data(), 1 << 20);
    }
    const Result attached = run({{"losetup", "--find", "--show", card.string()}});
    const std::string loop = attached.output.substr(0, attached.output.find('\n'));
    const std::string target = attached.status == 0 ? loop : card.string();
    const Result flashed = run({{MAKINA_IMAGE, "flash", image.string(), target, "--yes-device", target}});
    if (attached.status == 0) run_checked({{"losetup", "--detach", loop}});
    ASSERT_EQ(flashed.status, 0) << flashed.errors;
    std::filesystem::resize_file(card, size);
    figures::put("flashed_to_a_loop_device", attached.status == 0 ? 1 : 0);
}

TEST_P(Boot, OfAFlashedLargerCardAnswersEveryQuestionWell) {
    const Subject& subject = GetParam();
    const std::filesystem::path built = image();
    ASSERT_TRUE(std::filesystem::exists(built)) << built;
    const std::uint64_t card_size = std::filesystem::file_size(built) + (1ULL << 30);
    const std::filesystem::path file = scratch / "card";
    ASSERT_NO_FATAL_FAILURE(flash_over_old_content(built, file, card_size));
    const auto written = std::filesystem::last_write_time(file);

    const Result rehearsed = run({{MAKINA_IMAGE, "rehearse", "--json", "--timeout", "1200", "--question",
                                   "kernel-arguments=cat /proc/cmdline", "--question", own_settings, file.string()}});
    const Json verdict = Json::parse(rehearsed.output, nullptr, false);
    ASSERT_FALSE(verdict.is_discarded()) << rehearsed.output << rehearsed.errors;

    EXPECT_EQ(rehearsed.status, 0);
    EXPECT_EQ(verdict["stopped"], "") << verdict["last_output"].get<std::string>();
    EXPECT_EQ(verdict["reached"], "multi-user");
    EXPECT_EQ(verdict["node"], subject.node);
    EXPECT_EQ(verdict["role"], subject.role);
    EXPECT_EQ(verdict["failed_units"], Json::array());
    std::set<std::string> asked;
    bool address = false;
    for (const Json& answer : verdict["answers"]) {
        EXPECT_TRUE(answer["good"].get<bool>()) << answer.dump(2);
        const auto name = answer["name"].get<std::string>();
        const auto output = answer["output"].get<std::string>();
        asked.insert(name);
        if (name == "firstboot-status") {
            const Json status = Json::parse(output, nullptr, false);
            EXPECT_EQ(status.value("state", ""), subject.state) << output;
            if (std::string_view(subject.state) == "waiting") {
                EXPECT_EQ(status.value("stage", ""), "join") << output;
            }
        }
        if (name == "root-grown") {
            const std::string partition = "partition " + std::to_string(grown_root(file, card_size)) + " MiB";
            EXPECT_NE(output.find(partition), std::string::npos) << output << "expected: " << partition;
        }
        address = address || name.rfind("address ", 0) == 0;
    }
    for (const char* const name : {"no-swap", "no-failed-unit", "packages-complete", "hostname", "clock", "sshd",
                                   "firstboot", "firstboot-status", "bundle", "status-page", "root-grown"}) {
        EXPECT_TRUE(asked.contains(name)) << name;
    }
    for (const std::string& name : subject.questions) EXPECT_TRUE(asked.contains(name)) << name;
    EXPECT_TRUE(address) << "no address of a network file was asked for";
    EXPECT_TRUE(verdict["passed"].get<bool>());
    EXPECT_EQ(std::filesystem::last_write_time(file), written) << "the image was written";

    std::string name = std::string("boot_seconds_") + subject.role;
    std::replace(name.begin(), name.end(), '-', '_');
    if (!verdict["stages"].empty()) {
        figures::put(name, verdict["stages"].back()["seconds"].get<double>());
        figures::put("boot_seconds", verdict["stages"].back()["seconds"].get<double>());
    }
}

INSTANTIATE_TEST_SUITE_P(Roles, Boot, testing::ValuesIn(subjects()), [](const auto& subject) {
    std::string name = subject.param.role;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

TEST(Rehearsal, IsStoppedAtOnceIfTheRootIsNotThere) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const Scratch scratch;
    const std::filesystem::path image = image_of("master-1", "makina.yaml", scratch.path());
    // A copy whose disk signature is another: no partition has the PARTUUID that cmdline.txt names.
    const std::filesystem::path copy = scratch / "broken.img";
    run_checked({{"cp", "--sparse=always", image.string(), copy.string()}});
    {
        std::fstream disk(copy, std::ios::in | std::ios::out | std::ios::binary);
        disk.seekp(440);  // the signature's place in an MBR
        disk.write("\x01\x02\x03\x04", 4);
    }
    const Result rehearsed = run({{MAKINA_IMAGE, "rehearse", "--json", "--timeout", "600", copy.string()}});
    const Json verdict = Json::parse(rehearsed.output, nullptr, false);
    ASSERT_FALSE(verdict.is_discarded()) << rehearsed.output << rehearsed.errors;
    EXPECT_EQ(rehearsed.status, 1);
    EXPECT_EQ(verdict["reached"], "initrd");
    EXPECT_FALSE(verdict["passed"].get<bool>());
    EXPECT_NE(verdict["stopped"], "");
}

}  // namespace
}  // namespace makina::boot
