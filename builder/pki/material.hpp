#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "builder/pki/certificate.hpp"
#include "builder/pki/folder.hpp"
#include "builder/pki/key.hpp"

namespace makina {

/// A signing authority and its signer: the folder `signing-N`. Two of them are there during a rotation.
struct Generation {
    unsigned number = 0;
    Certificate authority;
    Certificate signer;
    [[nodiscard]] std::string folder() const { return "signing-" + std::to_string(number); }
};

/// The keys' folder as it lies on the disk. What is secret is read and decrypted only when it is asked for.
///     cluster                    the lines "makina-keys 1", "cluster NAME", "id HEX"
///     signing-N/                 ca.crt ca.key signer.crt signer.key
///     kubernetes-ca etcd-ca front-proxy-ca makina-ca       each .crt and .key
///     service-account            .key and .pub
///     encryption.key
///     revoked                    SHA-256 of signers that are believed no more, one a line
///     ledger
class Material {
  public:
    Material(std::filesystem::path folder, std::string passphrase)
        : folder_(std::move(folder)), passphrase_(std::move(passphrase)) {}

    /// Every file of a new cluster. The ledger is empty.
    [[nodiscard]] static Files made_new(const std::string& cluster, const std::string& passphrase, std::int64_t now);
    /// The files of one generation, without a folder's name.
    [[nodiscard]] static Files new_generation(const std::string& cluster, unsigned number,
                                              const std::string& passphrase, std::int64_t now);

    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
    [[nodiscard]] const std::string& passphrase() const { return passphrase_; }
    /// A file as it lies there. Throws Error.
    [[nodiscard]] std::string text(const std::string& name) const;
    [[nodiscard]] Certificate certificate(const std::string& name) const;  ///< of "etcd-ca": etcd-ca.crt
    [[nodiscard]] Key key(const std::string& name) const;                  ///< of "etcd-ca": etcd-ca.key
    /// Certificate and key; throws Error if they do not belong together.
    [[nodiscard]] Credential credential(const std::string& name) const;
    /// A shared secret, decrypted.
    [[nodiscard]] std::string secret(const std::string& name) const;
    /// Ascending; at least one, at most two.
    [[nodiscard]] std::vector<Generation> generations() const;
    /// Every file, by its path below the folder.
    [[nodiscard]] Files all() const;

  private:
    std::filesystem::path folder_;
    std::string passphrase_;
    mutable std::map<std::string, Key> keys_;  ///< decrypting takes a quarter of a second
};

/// What the file `cluster` says.
struct ClusterFile {
    std::string name;
    std::string id;
};
/// Throws Untrusted.
[[nodiscard]] ClusterFile decode_cluster_file(std::string_view text);
/// Throws Error.
[[nodiscard]] ClusterFile read_cluster_file(const std::filesystem::path& folder);

/// Names of the certificates' files in every folder, without ".crt", and what each is for.
[[nodiscard]] const std::vector<std::pair<std::string, std::string>>& authorities();

}  // namespace makina
