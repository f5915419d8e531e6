#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace makina {

/// What a payload of this name is on a node of this role. The list is fixed: what is not in it is in no bundle.
struct PayloadKind {
    std::string_view role;   ///< as profiles spell it
    std::string_view name;   ///< [a-z0-9.-]{1,64}
    std::string_view path;   ///< where it is written on the node, absolute; never below /boot
    std::uint32_t mode;      ///< permission bits
    std::string_view owner;  ///< user and group of that name
    bool secret;             ///< true: whoever reads it can act as somebody
    /// The file of the image that this is, as the card was written or newer; empty for what no image has. If it is not
    /// `path`, the role's join stage looks at what lies there before it becomes this file.
    std::string_view image_file = {};
};

/// All kinds, by role, then by name.
[[nodiscard]] std::span<const PayloadKind> payload_kinds();
/// The kind, or nullptr if a bundle of this role may not have a payload of this name.
[[nodiscard]] const PayloadKind* payload_kind(std::string_view role, std::string_view name);
/// No payload is larger, in bytes.
inline constexpr std::size_t largest_payload = std::size_t{64} << 10;

}  // namespace makina
