#pragma once

#include "builder/pki/pki.hpp"
#include "builder/profile/profile.hpp"

namespace makina {

/// What the node's bundle is made from, as the profile says it.
[[nodiscard]] Recipient recipient_of(const Profile& profile, const Node& node);

}  // namespace makina
