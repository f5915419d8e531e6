#include "tests/balancer/cuts.hpp"
#include "tests/unit/figures.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <thread>

namespace makina::balancer {
namespace {

void boot_with_a_late_cable(Cluster& cluster, const std::string& name) {
    Balancer& balancer = cluster.balancer(name);
    balancer.boot_without_address(cluster.lan);
    cluster.lan.cut(name);
    pause(2);
    cluster.lan.heal(name);
    pause(1);
    balancer.take_address();
}

void replace(Cluster& cluster, const std::string& name) {
    static int boards = 0x10;
    cluster.replace(name, "02:00:00:00:00:" + std::to_string(++boards));
    cluster.balancer(name).boot(cluster.lan);
}

}  // namespace

const std::vector<Cut>& cuts() {
    using C = Cluster&;
    using N = const std::string&;
    static const std::vector<Cut> all = {
        {"haproxy stops", false, false, [](C c, N n) { c.balancer(n).systemctl("stop", "haproxy"); },
         [](C c, N n) { c.balancer(n).systemctl("start", "haproxy"); }},
        {"haproxy is killed", true, false, [](C c, N n) { c.balancer(n).signal("KILL", "/usr/sbin/haproxy"); },
         [](C, N) {}},
        {"keepalived is killed", false, false, [](C c, N n) { c.balancer(n).signal("KILL", "/usr/sbin/keepalived"); },
         [](C, N) {}},
        {"the cable is out, and the address comes back late", false, false,
         [](C c, N n) {
             c.lan.cut(n);
             c.balancer(n).lose_address();
         },
         [](C c, N n) {
             c.lan.heal(n);
             pause(4);
             c.balancer(n).take_address();
         }},
        {"the network is parted", false, true,
         [](C c, N n) {
             c.lan.run({"ip", "link", "set", n, "nomaster"});
         },
         [](C c, N n) {
             c.lan.run({"ip", "link", "set", n, "master", "bridge"});
         }},
        {"the plug is pulled, and the cable comes late", false, false, [](C c, N n) { c.balancer(n).pull_plug(); },
         boot_with_a_late_cable},
        {"the card is replaced", false, false, [](C c, N n) { c.balancer(n).pull_plug(); }, replace},
        {"the cable flaps", false, false,
         [](C c, N n) {
             c.lan.cut(n);
             c.balancer(n).lose_address();
             pause(0.5);
             c.lan.heal(n);
         },
         [](C c, N n) { c.balancer(n).take_address(); }},
        {"keepalived's speaker is killed", false, false,
         [](C c, N n) { c.balancer(n).signal_in("KILL", "/run/vrrp.pid"); }, [](C, N) {}},
        {"keepalived is killed alone", false, false,
         [](C c, N n) { c.balancer(n).signal_in("KILL", "/run/keepalived.pid"); }, [](C, N) {}},
        {"the network is parted for long", false, false,
         [](C c, N n) {
             c.lan.run({"ip", "link", "set", n, "nomaster"});
         },
         [](C c, N n) {
             EXPECT_TRUE(lab::becomes_true(20, [&] { return c.balancer(n).state() == "FAULT"; }));
             c.lan.run({"ip", "link", "set", n, "master", "bridge"});
         }},
        {"the plug is pulled", false, false, [](C c, N n) { c.balancer(n).pull_plug(); },
         [](C c, N n) { c.balancer(n).boot(c.lan); }},
    };
    return all;
}

std::size_t cut_count() {
    const char* const asked = std::getenv("MAKINA_CUTS");
    if (asked != nullptr && *asked != '\0') return std::stoul(asked);
    return figures::long_form() ? 200 : 8;
}

void pause(double seconds) {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

}  // namespace makina::balancer
