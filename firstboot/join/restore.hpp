#pragma once

#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/snapshot.hpp"
#include "firstboot/host.hpp"

namespace makina {

// How a founder's etcd gets the data that its cluster begins with, from the snapshot on the card (snapshot_path).

/// Why this card cannot begin the cluster that its bundle names: the snapshot is not there, or is another one. Empty if
/// nothing is to be restored, or if it can. Reads the whole snapshot.
[[nodiscard]] std::string snapshot_fault(Host& host, const Bundle& bundle);

/// Who the restored member is: etcd's own words for it.
struct Beginning {
    std::string initial_cluster;  ///< "etcd-1=https://...:2380,etcd-2=https://..."
    std::string token;
    std::string peer_url;  ///< this node's
};

/// Makes `data_folder` from the snapshot: beside it, durable, then renamed, so that it is there whole or not at all.
/// May be cut off anywhere and repeated. Needs a snapshot without fault and no data in the folder. Throws Error.
void restore_snapshot(Host& host, const Bundle& bundle, const Beginning& beginning, const std::string& data_folder);

/// True if something of the snapshot is still here, or of an attempt to restore it that was cut off.
[[nodiscard]] bool has_leftovers(Host& host);
/// Removes it. Needs a node that has joined.
void remove_leftovers(Host& host);

}  // namespace makina
