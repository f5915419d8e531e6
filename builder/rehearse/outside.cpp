#include "builder/rehearse/outside.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "builder/process.hpp"
#include "builder/rehearse/option_value.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {

std::vector<std::uint16_t> free_ports(std::size_t count) {
    // All are held until all are known, so no two are the same.
    std::vector<Descriptor> held;
    std::vector<std::uint16_t> ports;
    for (std::size_t at = 0; at < count; ++at) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const plain = reinterpret_cast<sockaddr*>(&address);
        socklen_t size = sizeof address;
        Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!socket || bind(socket.get(), plain, size) != 0 || getsockname(socket.get(), plain, &size) != 0) {
            throw_system("looking for a free port of 127.0.0.1");
        }
        ports.push_back(ntohs(address.sin_port));
        held.push_back(std::move(socket));
    }
    return ports;
}

std::vector<std::string> outside_arguments(const OutsidePlan& plan, int cable) {
    std::string network = "user,id=outside,ipv6=off,net=" + to_string(Subnet{plan.subnet.first(), plan.subnet.prefix}) +
                          ",host=" + to_string(plan.router) + ",dns=" + to_string(plan.name_server) +
                          ",restrict=" + (plan.internet ? "off" : "on");
    for (const WayIn& way : plan.ways_in) {
        network += ",hostfwd=tcp:127.0.0.1:" + std::to_string(way.local) + "-" + to_string(way.address) + ":" +
                   std::to_string(way.port);
    }
    for (const StandIn& one : plan.stand_ins) {
        network += ",guestfwd=tcp:" + to_string(one.address) + ":" + std::to_string(one.port) +
                   "-cmd:" + option_value(plan.stand_in);
    }
    return {"qemu-system-aarch64",
            "-M",
            "none",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "none",
            "-netdev",
            network,
            "-netdev",
            "socket,id=cable,fd=" + std::to_string(cable),
            "-netdev",
            "hubport,id=hub0,hubid=0,netdev=outside",
            "-netdev",
            "hubport,id=hub1,hubid=0,netdev=cable"};
}

void run_outside(const OutsidePlan& plan, int cable, const std::function<void()>& on_tick) {
    Command command;
    command.argv = outside_arguments(plan, cable);
    command.descriptors = {cable};
    command.on_tick = on_tick;
    (void)run_checked(command);
}

}  // namespace makina
