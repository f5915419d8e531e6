#pragma once

#include <filesystem>
#include <vector>

#include "firstboot/bundle/bundle.hpp"

namespace makina {

// What opens the place that etcd's snapshots are copied to, as payloads of an etcd node's bundle. It is read from a
// file that nobody but its owner can read, at most 64 KiB; both throw Error "<file>: what is wrong", never with what is
// in it.

/// A private key without a passphrase, and below it the place's lines of known_hosts.
[[nodiscard]] std::vector<Payload> ssh_credentials(const std::filesystem::path& file);
/// The lines `aws_access_key_id = ...` and `aws_secret_access_key = ...`; between them may be empty lines, comments and
/// the name of a section, as in a file of Amazon's. As settings of curl.
[[nodiscard]] std::vector<Payload> s3_credentials(const std::filesystem::path& file);

}  // namespace makina
