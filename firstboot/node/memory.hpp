#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "firstboot/host.hpp"

namespace makina {

/// What the node remembers in /var/lib/makina. All throw Error naming the file.

/// Root's alone.
[[nodiscard]] Access private_access();
/// The number in a file, nothing if there is no file. Throws Error if it holds anything else.
[[nodiscard]] std::optional<std::uint64_t> remembered_number(Host& host, const char* path);
void remember_number(Host& host, const char* path, std::uint64_t number);

/// Who the card says that it is. Throws Untrusted if the file is damaged, Error if it is missing.
[[nodiscard]] Trust card_trust(Host& host);
/// The trust that an earlier bundle brought; nothing if there is none, or it is damaged, or another node's than
/// `card`.
[[nodiscard]] std::optional<Trust> newer_trust(Host& host, const Trust& card);
/// The done-mark; nothing if there is none or it is damaged.
[[nodiscard]] std::optional<Bundle> done_mark(Host& host);
/// The node's own sealed bundle; nothing if there is none. Throws Untrusted if it is no regular file, if it is not
/// root's alone, or if it is too large; decided before a byte of it is read.
[[nodiscard]] std::optional<std::string> own_bundle(Host& host);

/// What the clock is never below for a node with this bundle: when the image was built and the bundle issued, and, as
/// long as no time server has set the clock, when this node last knew the time.
[[nodiscard]] std::int64_t floor_of(Host& host, const Bundle& bundle);

}  // namespace makina
