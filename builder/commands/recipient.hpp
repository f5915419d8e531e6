#pragma once

#include "builder/pki/pki.hpp"
#include "builder/profile/profile.hpp"

namespace makina {

/// What the node's bundle is made from, as the profile says it.
[[nodiscard]] Recipient recipient_of(const Profile& profile, const Node& node);

/// The group that kubeadm of the profile's version gives its administrators: since 1.29 one of its own, which roles are
/// bound to, before that the one that no role can limit.
[[nodiscard]] std::string admin_group(const Profile& profile);

}  // namespace makina
