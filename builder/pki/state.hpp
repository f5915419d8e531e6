#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "builder/pki/ledger.hpp"
#include "builder/pki/material.hpp"
#include "builder/pki/pki.hpp"

namespace makina {

struct Keys::State {
    State(std::filesystem::path path, std::string passphrase)
        : lock(lock_folder(path)), material(std::move(path), std::move(passphrase)) {}

    void save(Ledger changed) {
        replace_file(material.folder() / "ledger", encode(changed));
        ledger = std::move(changed);
        is_saved = true;
    }

    Descriptor lock;
    Material material;
    ClusterFile cluster;
    Ledger ledger;
    bool postpones = false;  ///< what is issued waits for settle()
    bool is_saved = true;    ///< the ledger on the disk is this one
};

/// Signers that are believed no more. Throws Error.
[[nodiscard]] std::vector<std::string> revoked_signers(const Material& material);
/// What new cards believe: the newest signing authority first. `node` and `role` are left empty.
[[nodiscard]] Trust trust_of(const Material& material, const std::string& cluster_id);

}  // namespace makina
