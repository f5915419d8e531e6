#include <algorithm>

#include "builder/pki/contents.hpp"
#include "builder/pki/pki.hpp"
#include "builder/pki/seal.hpp"
#include "builder/pki/state.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/sealed.hpp"

namespace makina {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& text) {
    return std::find(list.begin(), list.end(), text) != list.end();
}

/// What the node's last card is and believes.
struct LastCard {
    std::string card;
    std::vector<std::string> surely;   ///< anchors that it has even if it never got a bundle handed over
    std::vector<std::string> perhaps;  ///< those that it has if it took the last one
};

LastCard last_card(const Ledger& ledger, const std::string& node) {
    const LedgerEntry* const last = last_of(ledger, node);
    if (last == nullptr) throw Error(node + " has no card yet: build its image first");
    if (last->revoked) throw Error("the last card of " + node + " is revoked: build a new image");
    LastCard result{last->card, last->anchors, last->anchors};
    for (const LedgerEntry& entry : ledger.entries) {
        if (entry.node != node || entry.card != last->card) continue;
        result.surely.erase(std::remove_if(result.surely.begin(), result.surely.end(),
                                           [&](const std::string& anchor) { return !contains(entry.anchors, anchor); }),
                            result.surely.end());
    }
    return result;
}

const Generation& choose(const std::vector<Generation>& generations, const LastCard& card, const std::string& node) {
    for (const auto& believed : {card.surely, card.perhaps}) {
        for (auto generation = generations.rbegin(); generation != generations.rend(); ++generation) {
            if (contains(believed, fingerprint(generation->authority))) return *generation;
        }
    }
    throw Error("the last card of " + node + " believes only signing authorities that are gone: build a new image");
}

/// What the card that the bundle is for believes, as far as it is sure: the bundle must open with that.
Trust trust_of_card(const Trust& trust, const std::vector<std::string>& believed) {
    Trust result = trust;
    result.anchors.clear();
    for (const std::string& anchor : trust.anchors) {
        if (contains(believed, sha256(anchor))) result.anchors.push_back(anchor);
    }
    return result;
}

/// RAUC's lesson: a seal is believed by its maker only after it was verified as the node does it.
void require_opens(const std::string& sealed, const Trust& trust, const Bundle& bundle) {
    if (sealed.size() > Bundle::largest) throw Error("the bundle is larger than a node reads");
    try {
        if (open_sealed(sealed, trust).bundle == bundle) return;
    } catch (const Untrusted& error) {
        throw Error(std::string("the sealed bundle does not open: ") + error.what());
    }
    throw Error("the sealed bundle opens as another one");
}

std::string names_of(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

/// A majority of three and a majority of five need not have a node in common: cards with different founders could
/// begin two clusters. So they are the same for all cards until it is known that the cluster is there.
const std::vector<std::string>& founders_for(const Bundle& bundle, Ledger& ledger) {
    std::vector<std::string> named;
    for (const Peer& peer : bundle.peers) {
        if (peer.role == bundle.role) named.push_back(peer.name);
    }
    const std::vector<std::string>& fixed = ledger.founders.emplace(bundle.role, named).first->second;
    if (fixed == named) return fixed;
    throw Error("no card of " + bundle.node + " is made: cards that may begin the cluster were made for the " +
                bundle.role + " nodes " + names_of(fixed) + ", but the profile has " + names_of(named) +
                ". If the cluster is there, let makina-image watch see it: further nodes then join it. If it never "
                "began: makina-image keys begin-again, and write the cards of all " +
                bundle.role + " nodes anew");
}

/// Names who founds what, so that nobody takes part in the founding of something else.
std::string formation_token(const Bundle& bundle, const Ledger& ledger, const std::vector<std::string>& founders) {
    const std::string& formation = ledger.formation.empty() ? bundle.cluster_id : ledger.formation;
    return sha256("makina-formation 1\n" + formation + "\n" + bundle.role + "\n" + names_of(founders)).substr(0, 32);
}

/// Who may found something may do so until it is known to be there.
void give_right(Bundle& bundle, Ledger& ledger) {
    const bool is_founder = bundle.role == "etcd" || bundle.role == "control-plane";
    if (!is_founder || ledger.formed.contains(bundle.role)) return;
    bundle.genesis = formation_token(bundle, ledger, founders_for(bundle, ledger));
    bundle.genesis_again = had_another_card(ledger, bundle.node, bundle.card);
    if (bundle.role == "etcd") bundle.restore = ledger.snapshot;
}

/// Founders with the same right that begin with different data would be one cluster in name only.
void require_snapshot(const Bundle& bundle, const std::string& carried) {
    if (bundle.restore == carried) return;
    if (bundle.restore.empty()) throw Error(bundle.node + " carries a snapshot, but its cluster begins without one");
    throw Error("the cluster begins from the snapshot with the SHA-256 " + bundle.restore + ": build the card of " +
                bundle.node + " with --restore and that file");
}

}  // namespace

void Keys::postpone() {
    state_->postpones = true;
}

void Keys::settle() {
    if (!state_->is_saved) state_->save(state_->ledger);
}

Issued Keys::issue(const Recipient& recipient, bool for_new_card, std::int64_t now, std::int64_t valid_for,
                   const std::string& target) {
    const Material& material = state_->material;
    const std::string& node = recipient.header.node;
    if (recipient.header.cluster != state_->cluster.name) {
        throw Error("the bundle is for the cluster " + recipient.header.cluster + ", the keys are of " +
                    state_->cluster.name);
    }
    if (valid_for < 1) throw Error("a bundle is valid for a second or more");
    const std::vector<Generation> generations = material.generations();
    Trust trust = trust_of(material, state_->cluster.id);
    trust.node = node;
    trust.role = recipient.header.role;
    LastCard card = for_new_card ? LastCard{to_hex(secret_bytes(16)), {}, {}} : last_card(state_->ledger, node);
    const Generation& generation = for_new_card ? generations.back() : choose(generations, card, node);
    if (not_after(generation.signer) <= now) {
        throw Error("the signer of bundles has expired: makina-image keys rotate makes a new one");
    }

    Issued issued;
    issued.trust = encode(trust);
    Contents contents = contents_for(recipient, material, issued.trust, now);
    Bundle bundle = recipient.header;
    bundle.cluster_id = state_->cluster.id;
    bundle.card = issued.card = card.card;
    bundle.epoch = issued.epoch = next_epoch(state_->ledger, node);
    bundle.issued = now;
    bundle.expires = issued.expires = now + valid_for;
    Ledger ledger = state_->ledger;
    give_right(bundle, ledger);
    issued.founds_again = bundle.genesis_again;
    if (for_new_card) require_snapshot(bundle, recipient.snapshot);
    bundle.payloads = std::move(contents.payloads);
    issued.sealed = seal(encode(bundle), material.credential(generation.folder() + "/signer"), now);
    const std::vector<std::string> own = {fingerprint(generation.authority)};
    require_opens(issued.sealed, for_new_card ? trust : trust_of_card(trust, own), bundle);

    std::vector<std::string> anchors;
    for (const std::string& anchor : trust.anchors) anchors.push_back(sha256(anchor));
    ledger.entries.push_back({issued.epoch, node, recipient.header.role, issued.card, now, issued.expires,
                              fingerprint(generation.signer), anchors, contents.certificate, sha256(issued.sealed),
                              target, false});
    if (state_->postpones) {
        state_->ledger = std::move(ledger);
        state_->is_saved = false;
    } else {
        state_->save(std::move(ledger));
    }
    return issued;
}

}  // namespace makina
