#include "builder/rehearse/frames.hpp"

#include <algorithm>
#include <cstdio>

namespace makina {
namespace {

constexpr std::size_t header = 14;

Mac mac_at(std::string_view frame, std::size_t at) {
    Mac mac{};
    for (std::size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<unsigned char>(frame[at + i]);
    return mac;
}

/// The lowest bit of the first byte: for many.
bool is_group(const Mac& mac) {
    return (mac[0] & 1U) != 0;
}

}  // namespace

std::string to_string(const Mac& mac) {
    std::array<char, 18> text{};
    (void)std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
                        mac[4], mac[5]);
    return text.data();
}

Mac card_for(Address address, unsigned card) {
    // The second-lowest bit of the first byte: an address that no maker has given.
    const auto byte = [&](int shift) { return static_cast<unsigned char>(address.value >> shift & 0xff); };
    return {0x02, static_cast<unsigned char>(0x4d + card), byte(24), byte(16), byte(8), byte(0)};
}

bool is_frame(std::string_view frame) {
    return frame.size() >= header;
}

Mac sender_of(std::string_view frame) {
    return mac_at(frame, 6);
}

Mac receiver_of(std::string_view frame) {
    return mac_at(frame, 0);
}

std::vector<std::size_t> ForwardingTable::ways(std::size_t from, std::string_view frame, std::size_t ports) {
    if (!is_frame(frame)) return {};
    const Mac sender = sender_of(frame);
    if (!is_group(sender)) behind_[sender] = from;
    const Mac receiver = receiver_of(frame);
    const auto known = behind_.find(receiver);
    if (!is_group(receiver) && known != behind_.end()) {
        return known->second == from ? std::vector<std::size_t>() : std::vector{known->second};
    }
    std::vector<std::size_t> all;
    for (std::size_t port = 0; port < ports; ++port) {
        if (port != from) all.push_back(port);
    }
    return all;
}

void ForwardingTable::forget(std::size_t port) {
    std::erase_if(behind_, [&](const auto& known) { return known.second == port; });
}

}  // namespace makina
