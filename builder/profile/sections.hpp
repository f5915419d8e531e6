#pragma once

#include "builder/profile/draft.hpp"

namespace makina {

/// Reads every section of a profile, a map, into the draft and fills in the defaults that follow from other values.
void read_sections(Draft& draft, const Tree& tree);

void read_gateway(Fields& top);  ///< needs the nodes, which forwards may name
void read_snapshots(Fields& etcd);
void read_roles(Fields& top);
void read_nodes(Fields& top);

}  // namespace makina
