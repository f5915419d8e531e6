#include <algorithm>
#include <optional>
#include <set>

#include "builder/pki/pki.hpp"
#include "builder/pki/state.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& text) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

/// Ends what a power cut has interrupted: leftovers, and a rotation whose old signer is named as revoked already.
void recover(const Material& material) {
    clean_folder(material.folder());
    const std::vector<Generation> generations = material.generations();
    const std::vector<std::string> revoked = revoked_signers(material);
    for (const Generation& generation : generations) {
        if (&generation != &generations.back() && contains(revoked, fingerprint(generation.signer))) {
            wipe_folder(material.folder() / generation.folder());
        }
    }
}

void require_complete(const Material& material) {
    std::vector<std::string> names = {"revoked", "ledger", "service-account.key", "service-account.pub",
                                      "encryption.key"};
    for (const auto& [name, purpose] : authorities()) {
        names.push_back(name + ".crt");
        names.push_back(name + ".key");
    }
    for (const Generation& generation : material.generations()) {
        names.push_back(generation.folder() + "/ca.key");
        names.push_back(generation.folder() + "/signer.key");
    }
    for (const std::string& name : names) {
        if (!std::filesystem::exists(material.folder() / name)) {
            throw Error((material.folder() / name).string() + " is missing: restore the folder from its backup");
        }
    }
}

void require_passphrase(const Material& material) {
    const bool encrypted = keys_folder(material.folder()) == KeysFolder::encrypted;
    const std::string where = "the keys in " + material.folder().string();
    if (encrypted && material.passphrase().empty()) throw Error(where + " need their passphrase");
    if (!encrypted && !material.passphrase().empty()) throw Error(where + " have no passphrase: say none");
    (void)material.credential(material.generations().back().folder() + "/signer");
}

std::optional<FlashReceipt> last_flashing(const Ledger& ledger, const LedgerEntry& entry) {
    const auto found = std::find_if(ledger.flashed.rbegin(), ledger.flashed.rend(), [&](const FlashReceipt& receipt) {
        return receipt.verified && receipt.node == entry.node && receipt.card == entry.card;
    });
    return found == ledger.flashed.rend() ? std::nullopt : std::optional<FlashReceipt>(*found);
}

void require_name(const std::string& cluster) {
    if (!is_dns_label(cluster)) throw Error("\"" + cluster + "\" is no name of a cluster");
}

void begin(Ledger& ledger, const std::string& snapshot) {
    ledger.snapshot = snapshot;
    ledger.formation = to_hex(secret_bytes(16));
    ledger.formation_from = ledger.entries.size();
    ledger.formed.clear();
    ledger.founders.clear();
}

}  // namespace

std::vector<std::string> revoked_signers(const Material& material) {
    std::vector<std::string> list;
    std::string_view text;
    const std::string content = material.text("revoked");
    for (text = content; !text.empty();) {
        const std::size_t end = text.find('\n');
        if (end != 64 || !is_hex(text.substr(0, 64), 64)) {
            throw Error((material.folder() / "revoked").string() + ", line " + std::to_string(list.size() + 1) +
                        ": not 64 lower-case hex digits");
        }
        list.emplace_back(text.substr(0, 64));
        text.remove_prefix(65);
    }
    return list;
}

Trust trust_of(const Material& material, const std::string& cluster_id) {
    Trust trust;
    trust.cluster_id = cluster_id;
    const std::vector<Generation> generations = material.generations();
    for (auto generation = generations.rbegin(); generation != generations.rend(); ++generation) {
        trust.anchors.push_back(to_der(generation->authority));
    }
    trust.revoked = revoked_signers(material);
    return trust;
}

void Keys::create(const std::filesystem::path& folder, const std::string& cluster, const std::string& passphrase,
                  std::int64_t now) {
    require_name(cluster);
    // PEM_BUFSIZE: OpenSSL reads no longer one.
    if (passphrase.size() > 1024) throw Error("the passphrase is longer than 1024 bytes");
    if (has_entries(folder)) throw Error(folder.string() + " exists already: keys are never overwritten");
    make_folder(folder, Material::made_new(cluster, passphrase, now));
}

Keys::Keys(std::filesystem::path folder, const std::string& cluster, const std::string& passphrase) {
    state_ = during("opening the keys", [&] { return std::make_unique<State>(std::move(folder), passphrase); });
    const Material& material = state_->material;
    state_->cluster = read_cluster_file(material.folder());
    if (state_->cluster.name != cluster) {
        throw Error(material.folder().string() + " has the keys of the cluster " + state_->cluster.name + ", not of " +
                    cluster);
    }
    recover(material);
    require_complete(material);
    require_passphrase(material);
    state_->ledger =
        during((material.folder() / "ledger").string(), [&] { return decode_ledger(material.text("ledger")); });
}

Keys::Keys(Keys&&) noexcept = default;
Keys& Keys::operator=(Keys&&) noexcept = default;
Keys::~Keys() = default;

std::string Keys::cluster_id() const {
    return state_->cluster.id;
}

std::vector<LedgerEntry> Keys::ledger() const {
    return state_->ledger.entries;
}

void Keys::note_formed(const std::string& role, std::int64_t now) {
    Ledger ledger = state_->ledger;
    if (ledger.formed.emplace(role, now).second) state_->save(std::move(ledger));
}

bool Keys::note_formed(const std::filesystem::path& folder, const std::string& cluster_id, const Joined& joined,
                       std::int64_t now) {
    if (keys_folder(folder) == KeysFolder::missing || read_cluster_file(folder).id != cluster_id) return false;
    State state(folder, "");
    Ledger ledger = decode_ledger(state.material.text("ledger"));
    if (is_of_earlier_formation(ledger, joined.node, joined.epoch)) return false;
    if (!ledger.formed.emplace(joined.role, now).second) return false;
    state.save(std::move(ledger));
    return true;
}

std::vector<Keys::Joined> Keys::note_taken(const std::filesystem::path& folder, const std::string& cluster_id,
                                           const std::vector<Joined>& nodes) {
    if (keys_folder(folder) == KeysFolder::missing || read_cluster_file(folder).id != cluster_id) return {};
    State state(folder, "");
    Ledger ledger = decode_ledger(state.material.text("ledger"));
    std::vector<Joined> news;
    for (const Joined& joined : nodes) {
        const auto known = ledger.taken.find(joined.node);
        const bool is_new = known == ledger.taken.end() || known->second < joined.epoch;
        const bool handed_over = std::ranges::any_of(ledger.entries, [&](const LedgerEntry& entry) {
            return entry.node == joined.node && entry.epoch == joined.epoch && is_handed_over(ledger, entry);
        });
        if (!is_new || !handed_over) continue;
        ledger.taken[joined.node] = joined.epoch;
        news.push_back(joined);
    }
    if (!news.empty()) state.save(std::move(ledger));
    return news;
}

std::map<std::string, std::int64_t> Keys::formed() const {
    return state_->ledger.formed;
}

bool Keys::begin_formation(const std::string& snapshot) {
    Ledger ledger = state_->ledger;
    if (ledger.snapshot == snapshot && !ledger.formed.contains("etcd")) return false;
    begin(ledger, snapshot);
    state_->save(std::move(ledger));
    return true;
}

void Keys::begin_again() {
    Ledger ledger = state_->ledger;
    begin(ledger, "");
    state_->save(std::move(ledger));
}

std::vector<KeyFact> Keys::facts() const {
    const Material& material = state_->material;
    std::vector<KeyFact> facts;
    const std::vector<Generation> generations = material.generations();
    for (auto generation = generations.rbegin(); generation != generations.rend(); ++generation) {
        const std::string before = generation == generations.rbegin() ? "" : "previous-";
        facts.push_back({before + "signing-ca", "says who may sign bundles", fingerprint(generation->authority),
                         not_after(generation->authority)});
        facts.push_back(
            {before + "signer", "signs bundles", fingerprint(generation->signer), not_after(generation->signer)});
    }
    for (const auto& [name, purpose] : authorities()) {
        const Certificate certificate = material.certificate(name);
        facts.push_back({name, purpose, fingerprint(certificate), not_after(certificate)});
    }
    facts.push_back(
        {"service-account", "signs service accounts' tokens", fingerprint(material.key("service-account")), 0});
    facts.push_back({"encryption.key", "encrypts Kubernetes secrets in etcd", "", 0});
    return facts;
}

void Keys::rotate_signer(std::int64_t now) {
    const Material& material = state_->material;
    const std::vector<Generation> generations = material.generations();
    if (generations.size() > 1) {
        throw Error(
            "a rotation is under way: makina-image keys rotate --finish ends it when every node has a bundle "
            "or a card of the new authority");
    }
    Generation next;
    next.number = generations.back().number + 1;
    // One rename: before it there is one authority, after it there are two.
    make_folder(material.folder() / next.folder(),
                Material::new_generation(state_->cluster.name, next.number, material.passphrase(), now));
}

void Keys::finish_rotation(bool compromised) {
    const Material& material = state_->material;
    const std::vector<Generation> generations = material.generations();
    if (generations.size() < 2) throw Error("there is no rotation to finish: makina-image keys rotate begins one");
    const Generation& old = generations.front();
    if (compromised) {
        // From here on `recover` ends it.
        replace_file(material.folder() / "revoked", material.text("revoked") + fingerprint(old.signer) + "\n");
    }
    wipe_folder(material.folder() / old.folder());
}

Keys::CardInUse Keys::card_in_use(const std::string& node) const {
    const Ledger& ledger = state_->ledger;
    if (last_of(ledger, node) == nullptr) throw Error("no bundle was ever issued to " + node);
    CardInUse found;
    for (auto entry = ledger.entries.rbegin(); entry != ledger.entries.rend(); ++entry) {
        if (entry->node != node || entry->revoked) continue;
        // Several bundles may be for one card.
        const auto is_its = [&](const LedgerEntry& other) { return other.card == entry->card; };
        if (std::any_of(found.passed_over.begin(), found.passed_over.end(), is_its)) continue;
        found.flashed = last_flashing(ledger, *entry);
        if (found.flashed) {
            found.card = *entry;
            return found;
        }
        found.passed_over.push_back(*entry);
    }
    if (found.passed_over.empty()) throw Error("every card of " + node + " is revoked already");
    found.card = found.passed_over.front();
    found.passed_over.clear();
    return found;
}

std::vector<std::string> Keys::left_behind() const {
    const std::vector<Generation> generations = state_->material.generations();
    if (generations.size() < 2) return {};
    const std::string newest = fingerprint(generations.back().authority);
    const Ledger& ledger = state_->ledger;
    // What was handed over may lie in a drawer.
    const auto has_reached = [&](const LedgerEntry& entry) {
        const auto taken = ledger.taken.find(entry.node);
        const bool is_taken = taken != ledger.taken.end() && taken->second >= entry.epoch;
        return contains(entry.anchors, newest) && (is_taken || !is_handed_over(ledger, entry));
    };
    std::set<std::string> seen;
    std::vector<std::string> nodes;
    for (auto last = ledger.entries.rbegin(); last != ledger.entries.rend(); ++last) {
        if (!seen.insert(last->node).second || last->revoked) continue;
        const bool reached = std::ranges::any_of(ledger.entries, [&](const LedgerEntry& entry) {
            return entry.node == last->node && entry.card == last->card && has_reached(entry);
        });
        if (!reached) nodes.push_back(last->node);
    }
    std::sort(nodes.begin(), nodes.end());
    return nodes;
}

void Keys::revoke(const std::string& node, const std::string& card) {
    const LedgerEntry* const last = last_of(state_->ledger, node);
    if (last == nullptr) throw Error("no bundle was ever issued to " + node);
    const std::string named = card.empty() ? last->card : card;
    Ledger ledger = state_->ledger;
    bool found = false;
    for (LedgerEntry& entry : ledger.entries) {
        if (entry.node != node || entry.card != named) continue;
        entry.revoked = true;
        found = true;
    }
    if (!found) throw Error(node + " never had a card " + named);
    state_->save(std::move(ledger));
}

KeysFolder keys_folder(const std::filesystem::path& folder) {
    if (!has_entries(folder)) return KeysFolder::missing;
    (void)read_cluster_file(folder);
    // Every key has the passphrase or none has.
    return is_encrypted_pem(read_private(folder / "makina-ca.key")) ? KeysFolder::encrypted : KeysFolder::plain;
}

Trust trust_of_keys(const std::filesystem::path& folder) {
    return trust_of(Material(folder, ""), read_cluster_file(folder).id);
}

}  // namespace makina
