#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace makina {

/// An IPv4 address, in host byte order.
struct Address {
    std::uint32_t value = 0;
    auto operator<=>(const Address&) const = default;
};

/// A range of addresses as in "192.168.3.0/24". `base` is the address as written ("192.168.3.7/24" keeps .7).
struct Subnet {
    Address base;
    int prefix = 0;  ///< 0..32
    auto operator<=>(const Subnet&) const = default;

    [[nodiscard]] std::uint32_t mask() const { return prefix == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix); }
    [[nodiscard]] Address first() const { return {base.value & mask()}; }  ///< the network address
    [[nodiscard]] Address last() const { return {base.value | ~mask()}; }  ///< the broadcast address
    [[nodiscard]] bool contains(Address address) const { return (address.value & mask()) == first().value; }
    [[nodiscard]] bool overlaps(const Subnet& other) const {
        return first() <= other.last() && other.first() <= last();
    }
};

/// Strict dotted quad: four decimal numbers 0..255 without leading zeros, nothing else.
[[nodiscard]] std::optional<Address> parse_address(std::string_view text);
/// Strict "a.b.c.d/n", n 0..32.
[[nodiscard]] std::optional<Subnet> parse_subnet(std::string_view text);
[[nodiscard]] std::string to_string(Address address);
[[nodiscard]] std::string to_string(const Subnet& subnet);

}  // namespace makina
