#include "builder/rehearse/address_watch.hpp"

#include <algorithm>

namespace makina {
namespace {

constexpr std::size_t arp_size = 42;
constexpr unsigned char question_kind = 1, answer_kind = 2;

/// No card of a machine begins so, see card_for.
Mac card_of(std::uint16_t number) {
    return {0x02, 0x57, 0, 0, static_cast<unsigned char>(number >> 8), static_cast<unsigned char>(number & 0xff)};
}

void put(std::string& frame, const Mac& mac) {
    frame.append(mac.begin(), mac.end());
}

void put(std::string& frame, Address address) {
    for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(address.value >> shift & 0xff);
}

/// Ethernet's type for ARP, then ARP's own words for Ethernet and IPv4.
std::string arp_head(unsigned char kind) {
    return {'\x08', '\x06', '\0', '\x01', '\x08', '\0', '\x06', '\x04', '\0', static_cast<char>(kind)};
}

}  // namespace

std::string AddressWatch::question(double now) {
    while (!open_.empty() && now - open_.front().at >= patience) {
        conclude(open_.front());
        open_.pop_front();
    }
    open_.push_back({++number_, now, 0, {}});
    const Mac ours = card_of(number_);
    std::string frame(6, '\xff');
    put(frame, ours);
    frame += arp_head(question_kind);
    put(frame, ours);
    put(frame, Address{});
    put(frame, Mac{});
    put(frame, address_);
    frame.resize(60, '\0');  // an Ethernet frame has no fewer bytes
    return frame;
}

bool AddressWatch::hear(std::size_t port, std::string_view frame, double now) {
    if (frame.size() < arp_size || frame.substr(12, 10) != arp_head(answer_kind)) return false;
    std::string wanted;
    put(wanted, address_);
    const Mac receiver = receiver_of(frame);
    if (receiver[0] != 0x02 || receiver[1] != 0x57) return false;
    const auto number = static_cast<std::uint16_t>(receiver[4] << 8 | receiver[5]);
    const auto asked = std::find_if(open_.begin(), open_.end(), [&](const Asked& one) { return one.number == number; });
    // An answer that comes too late says nothing about now, and one about another address was not asked for.
    if (asked == open_.end() || frame.substr(28, 4) != wanted) return true;
    if (asked->ports.empty()) asked->answered = now;
    asked->ports.insert(port);
    return true;
}

void AddressWatch::conclude(const Asked& asked) {
    const bool held = !holdings_.empty() && !holdings_.back().ports.empty();
    if (asked.ports.empty()) {
        if (held && asked.at - *heard_ >= silence) holdings_.push_back({*heard_, {}});
        return;
    }
    heard_ = asked.at;
    if (!held || holdings_.back().ports != asked.ports) holdings_.push_back({asked.answered, asked.ports});
}

}  // namespace makina
