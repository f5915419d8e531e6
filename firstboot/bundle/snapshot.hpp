#pragma once

namespace makina {

/// Where the card of an etcd node carries the snapshot that its cluster is founded from (Bundle::restore); root:root
/// 0600, and gone when the node has joined.
inline constexpr const char* snapshot_path = "/var/lib/makina/restore.db";

}  // namespace makina
