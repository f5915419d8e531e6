#include "builder/profile/address.hpp"

#include <charconv>

namespace makina {
namespace {

/// A decimal number of at most three digits without leading zeros, taken from the front of `rest`.
std::optional<std::uint32_t> take_number(std::string_view& rest, std::uint32_t highest) {
    std::uint32_t number = 0;
    const std::string_view digits = rest.substr(0, rest.find_first_not_of("0123456789"));
    if (digits.empty() || digits.size() > 3 || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
    std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (number > highest) return std::nullopt;
    rest.remove_prefix(digits.size());
    return number;
}

std::optional<Address> take_address(std::string_view& rest) {
    Address address;
    for (int part = 0; part < 4; ++part) {
        if (part > 0) {
            if (!rest.starts_with('.')) return std::nullopt;
            rest.remove_prefix(1);
        }
        const auto number = take_number(rest, 255);
        if (!number) return std::nullopt;
        address.value = address.value << 8 | *number;
    }
    return address;
}

}  // namespace

std::optional<Address> parse_address(std::string_view text) {
    const auto address = take_address(text);
    return text.empty() ? address : std::nullopt;
}

std::optional<Subnet> parse_subnet(std::string_view text) {
    const auto base = take_address(text);
    if (!base || !text.starts_with('/')) return std::nullopt;
    text.remove_prefix(1);
    const auto prefix = take_number(text, 32);
    if (!prefix || !text.empty()) return std::nullopt;
    return Subnet{*base, static_cast<int>(*prefix)};
}

std::string to_string(Address address) {
    return std::to_string(address.value >> 24) + '.' + std::to_string(address.value >> 16 & 255U) + '.' +
           std::to_string(address.value >> 8 & 255U) + '.' + std::to_string(address.value & 255U);
}

std::string to_string(const Subnet& subnet) {
    return to_string(subnet.base) + '/' + std::to_string(subnet.prefix);
}

}  // namespace makina
