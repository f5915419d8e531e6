#pragma once

#include <sys/types.h>

#include <string>

namespace makina {

class Files;

// Names and numbers of users and groups as the node's own /etc/passwd and /etc/group have them: a static program has no
// NSS. "root" is always 0; a number may stand for a name that is not there.

/// Throws Error "no user "etcd" in /etc/passwd".
[[nodiscard]] uid_t user_id(const Files& files, const std::string& name);
[[nodiscard]] gid_t group_id(const Files& files, const std::string& name);
[[nodiscard]] std::string user_name(const Files& files, uid_t id);
[[nodiscard]] std::string group_name(const Files& files, gid_t id);

}  // namespace makina
