#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "builder/commands/recipient.hpp"
#include "builder/pki/pki.hpp"
#include "tests/gateway/border.hpp"
#include "tests/gateway/suite.hpp"

namespace makina::border {
namespace {

constexpr const char* name = "gateway-1";

/// A sealed bundle, as `makina-image build` puts it onto the card; for a board like this machine.
void give_bundle(const lab::Machine& gateway, const Profile& profile) {
    const lab::fs::path folder = lab::workshop() / "join-keys";
    Keys::create(folder, profile.name, "", std::time(nullptr));
    Keys keys(folder, profile.name, "");
    Recipient recipient = recipient_of(profile, *profile.find(gateway.name()));
#ifndef __aarch64__
    recipient.header.architecture = "amd64";
#endif
    recipient.header.board = "generic";
    const Issued issued = keys.issue(recipient, true, std::time(nullptr), 86400, "join.img");
    gateway.install(std::string(Trust::path), issued.trust);
    gateway.install(Bundle::path, issued.sealed, 0600);
    lab::fs::permissions(gateway.file(Bundle::path).parent_path(), lab::fs::perms::owner_all);
    // The kernel here has it built in.
    utsname kernel{};
    ::uname(&kernel);
    gateway.install(std::string("/usr/lib/modules/") + kernel.release + "/modules.builtin",
                    "kernel/net/netfilter/nf_conntrack.ko\n");
}

std::string status(const lab::Machine& machine, const std::string& field) {
    std::ifstream file(machine.file("/run/makina/status.json"));
    const auto json = nlohmann::json::parse(file, nullptr, false);
    return json.is_object() ? json.value(field, "") : "";
}

TEST(Join, TellsWhatAGatewayLacksAndJoinsWhenItIsOne) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    Border border(two_gateways(), "join");
    lab::Machine& gateway = border.gateway(name);
    give_bundle(gateway, two_gateways());
    border.boot(name);
    // Rules that do not load, and a keepalived that somebody has stopped.
    gateway.run_checked({"sed", "-i.good", "s/policy drop/policy drip/", "/etc/nftables.conf"});
    gateway.run_checked({"nft", "flush", "ruleset"});
    gateway.run_checked({"systemctl", "stop", "keepalived"});
    gateway.start_daemon();
    const auto waits = [&] {
        return status(gateway, "waiting_for") ==
               "the firewall's rules; systemctl status nftables tells why there are none";
    };
    EXPECT_TRUE(lab::becomes_true(30, waits)) << gateway.log("daemon");
    gateway.run_checked({"mv", "/etc/nftables.conf.good", "/etc/nftables.conf"});
    EXPECT_TRUE(lab::becomes_true(30, [&] { return status(gateway, "state") == "joined"; })) << gateway.log("daemon");
    EXPECT_EQ(gateway.run({"systemctl", "is-active", "keepalived"}).status, 0);
    EXPECT_THAT(gateway.run_checked({"nft", "list", "ruleset"}), testing::HasSubstr("policy drop"));
}

}  // namespace
}  // namespace makina::border
