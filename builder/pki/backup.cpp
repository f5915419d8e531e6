#include <string_view>

#include "builder/pki/envelope.hpp"
#include "builder/pki/ledger.hpp"
#include "builder/pki/material.hpp"
#include "builder/pki/packed.hpp"
#include "builder/pki/pki.hpp"
#include "builder/pki/state.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// A backup is this line and an envelope with the packed files.
constexpr std::string_view first_line = "makina-keys-backup 1\n";

/// Under another cluster's name these keys would never open again.
void require_cluster(const std::string& found, const std::string& cluster) {
    if (found == cluster) return;
    throw Error("it has the keys of the cluster " + found + ", not of " + cluster +
                ": say --profile FILE with that of " + found);
}

}  // namespace

void Keys::backup(const std::filesystem::path& file, const std::string& passphrase) const {
    if (passphrase.empty()) throw Error("a backup needs a passphrase");
    const std::string envelope = put_in_envelope(packed(state_->material.all()), first_line, passphrase);
    write_private(file, std::string(first_line) + envelope);
}

void restore_keys(const std::filesystem::path& file, const std::filesystem::path& folder, const std::string& cluster,
                  const std::string& passphrase) {
    if (has_entries(folder)) throw Error(folder.string() + " exists already: keys are never overwritten");
    const std::string content = read_private(file, std::uint64_t{64} << 20);
    if (content.compare(0, first_line.size(), first_line) != 0) throw Error(file.string() + " is no backup of keys");
    Files files;
    std::string found;
    try {
        files = unpacked(open_envelope(std::string_view(content).substr(first_line.size()), first_line, passphrase));
        found = decode_cluster_file(files["cluster"]).name;
    } catch (const Untrusted& error) {
        throw Error(file.string() + ": " + error.what());
    }
    during(file.string(), [&] { require_cluster(found, cluster); });
    Ledger ledger = decode_ledger(files["ledger"]);
    ledger.restored.push_back(ledger.entries.size());
    files["ledger"] = encode(ledger);
    make_folder(folder, files);
}

}  // namespace makina
