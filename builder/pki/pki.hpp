#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/trust.hpp"

namespace makina {

/// What a bundle is made from; the plan decides it, this room knows no profile.
struct Recipient {
    Bundle header;  ///< cluster, node, role, architecture, board, serial, mac, address, interface, api, spare, peers;
                    ///< the rest (cluster id, card, epoch, times, genesis, payloads) is decided here
    bool external_etcd = false;  ///< control planes carry a client's certificate, not etcd's authority
    bool offline = false;        ///< no authority's private key on control planes: their leaf certificates instead
    std::vector<std::string> api_names;      ///< names and addresses that the API server's certificate has
    std::vector<std::string> api_addresses;  ///< IPv4; the first address of the services' range is among them
    /// Payloads that are not made from the keys: files of the plan, and what opens the place for snapshots.
    std::vector<Payload> configuration;
    /// SHA-256 of the snapshot that the new card of an etcd node carries; empty: none.
    std::string snapshot;
    /// The group of administrators' certificates: kubeadm's since 1.29, "system:masters" before.
    std::string admin_group;
};

/// A sealed bundle and the trust that goes with it.
struct Issued {
    std::string sealed;  ///< the bytes of `makina.bundle`
    std::string trust;   ///< the bytes of Trust::path for a new card
    std::uint64_t epoch = 0;
    std::string card;
    std::int64_t expires = 0;
    bool founds_again = false;  ///< as Bundle::genesis_again
};

/// One thing of the keys' folder, as `keys show` prints it.
struct KeyFact {
    std::string name;            ///< "kubernetes-ca"
    std::string purpose;         ///< for people
    std::string fingerprint;     ///< SHA-256 of the certificate (DER) or of the public key; of a secret: empty
    std::int64_t not_after = 0;  ///< seconds since 1970, 0 if it does not expire
};

/// One line of the ledger: a bundle that was issued.
struct LedgerEntry {
    std::uint64_t epoch = 0;
    std::string node;
    std::string role;
    std::string card;
    std::int64_t issued = 0;
    std::int64_t expires = 0;
    std::string signer;                ///< SHA-256 of the signer's certificate
    std::vector<std::string> anchors;  ///< SHA-256 of the anchors that the card has
    std::string certificate;           ///< serial number of the node's own certificate, hex
    std::string sha256;                ///< of the sealed bundle
    std::string target;                ///< what it was issued to: an image's or a file's name, for people
    bool revoked = false;
};

/// What became of a card: one more line of the ledger, signed.
struct FlashReceipt {
    std::string node;
    std::string card;            ///< that its bundle is for; 32 zeros if it has none
    std::string medium;          ///< the name in /dev/disk/by-id, serial number or path of what was written
    std::string sha256;          ///< Flashed::digest of what was written; 64 zeros if it failed
    std::uint64_t bytes = 0;     ///< that were written and read back
    bool verified = false;       ///< false: it failed
    std::int64_t time = 0;       ///< seconds since 1970
    std::string signer = {};     ///< SHA-256 of the signer's certificate
    std::string signature = {};  ///< ECDSA with SHA-256 over all words before it, in hex; made when it is noted
};

/// A cluster's keys: a folder that only its owner can read (0700, files 0600), made once, never overwritten. Held with
/// an exclusive lock while this object lives. Every change is written beside, synced and renamed.
class Keys {
  public:
    /// Makes the folder and everything in it: cluster id, signing authority and signer, authorities for Kubernetes,
    /// etcd, front-proxy and MAKINA's own TLS, service-account key, secrets-encryption key. With a passphrase the
    /// private keys are PKCS#8 encrypted. `now` is in seconds since 1970; certificates begin a day before it, for
    /// boards whose clock is late. Throws Error if the folder exists and is not empty; a half-made one (power cut) is
    /// told apart and made anew.
    static void create(const std::filesystem::path& folder, const std::string& cluster, const std::string& passphrase,
                       std::int64_t now);

    /// Opens the folder. Throws Error if it is missing, incomplete, readable by others, of another cluster's name, or
    /// if the passphrase is wrong or missing.
    Keys(std::filesystem::path folder, const std::string& cluster, const std::string& passphrase);
    Keys(Keys&&) noexcept;
    Keys& operator=(Keys&&) noexcept;
    ~Keys();

    [[nodiscard]] std::string cluster_id() const;
    [[nodiscard]] std::vector<KeyFact> facts() const;
    [[nodiscard]] std::vector<LedgerEntry> ledger() const;

    /// From now on what is issued is in the ledger on the disk only when settle() has returned: one durable write for
    /// many bundles. Until then nobody may see a bundle that was issued.
    void postpone();
    /// Writes what was postponed. Throws Error.
    void settle();

    /// Makes the node's leaf keys, takes its next epoch, writes the ledger (durable before this returns, unless it is
    /// postponed), seals the bundle and opens it again as the node would. `for_new_card`: sealed by the newest signer,
    /// else by the newest that the node's last card believes. `target` is for the ledger. Throws Error if a new card
    /// could found the cluster with another snapshot than the others have, or without one.
    [[nodiscard]] Issued issue(const Recipient& recipient, bool for_new_card, std::int64_t now, std::int64_t valid_for,
                               const std::string& target);

    /// A second signing authority; from now on new cards believe both and are sealed by the new one, and bundles for
    /// cards in the field bring them the new one. Throws Error during a rotation.
    void rotate_signer(std::int64_t now);
    /// Ends the rotation: the old authority's private key is wiped, new cards believe the new one only. With
    /// `compromised`, its signer is named as revoked to every card from now on. Throws Error if there is no rotation.
    void finish_rotation(bool compromised);
    /// The card that a node most likely has, as far as one of its cards is not revoked.
    struct CardInUse {
        LedgerEntry card;                      ///< its newest bundle
        std::optional<FlashReceipt> flashed;   ///< the last time that it was written and read back
        std::vector<LedgerEntry> passed_over;  ///< of newer cards, which were never flashed
    };
    /// The newest card that was flashed, else the newest: an image that is only a file may have been built in vain.
    /// Throws Error if there is none.
    [[nodiscard]] CardInUse card_in_use(const std::string& node) const;
    /// During a rotation: nodes whose newest card, if it is not revoked, is not known to believe the new signing
    /// authority: it was not made with it, and the node was not seen to have taken a bundle that brings it. No bundle
    /// reaches them after finish_rotation.
    [[nodiscard]] std::vector<std::string> left_behind() const;
    /// Notes that a card is not to be believed any more: the newest of the node, or the named one.
    void revoke(const std::string& node, const std::string& card);
    /// Notes that the nodes of this role have formed what they are a part of: from now on their cards only join.
    void note_formed(const std::string& role, std::int64_t now);
    /// A node that was seen to have joined, and with which bundle.
    struct Joined {
        std::string node;
        std::string role;
        std::uint64_t epoch = 0;
    };
    /// The same in a folder that is not open, without its passphrase. False if it was known, if the card is of an
    /// earlier formation, if the keys are those of another cluster than `cluster_id`, or if there is no such folder.
    /// Throws Error.
    static bool note_formed(const std::filesystem::path& folder, const std::string& cluster_id, const Joined& joined,
                            std::int64_t now);
    /// Notes that these nodes have taken the bundles with these epochs, as far as those were handed over to cards in
    /// the field; as note_formed, in a folder that is not open. Which of them that is news of. Throws Error.
    static std::vector<Joined> note_taken(const std::filesystem::path& folder, const std::string& cluster_id,
                                          const std::vector<Joined>& nodes);
    /// The roles of which that was noted, and when.
    [[nodiscard]] std::map<std::string, std::int64_t> formed() const;
    /// A new formation of etcd, from the snapshot with this SHA-256: cards that are issued from now on have the right
    /// to found it. One that is not known to have formed goes on if it is from the same snapshot. True if it is new.
    bool begin_formation(const std::string& snapshot);
    /// A new formation of everything that nodes form, from nothing: cards that were issued before have no part in it.
    void begin_again();
    /// Whom Kubernetes knows by a client certificate, and in which group; its roles are bound to either.
    struct User {
        std::string name;
        std::string group;  ///< empty for none
    };
    /// A kubeconfig for the user, with a new key and a certificate that is good for so many seconds. Kubernetes cannot
    /// take such a certificate back before that. Throws Error.
    [[nodiscard]] std::string kubeconfig(const User& user, const std::string& server, std::int64_t now,
                                         std::int64_t valid_for) const;
    /// Signs the receipt with the newest signer of bundles and adds it to the ledger, durable before this returns.
    void note_flashed(FlashReceipt receipt);
    [[nodiscard]] std::vector<FlashReceipt> receipts() const;
    /// True if one of the signers that the folder has signed it, and nothing of it was changed since.
    [[nodiscard]] bool is_genuine(const FlashReceipt& receipt) const;
    /// Everything in the folder as one file, encrypted under `passphrase` (scrypt, AES-256-GCM); 0600, never
    /// overwrites. Throws Error.
    void backup(const std::filesystem::path& file, const std::string& passphrase) const;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Puts a backup back into a folder that does not exist yet. The next epoch of every node leaves room for bundles that
/// were issued after the backup was made. Throws Error for a wrong passphrase, a damaged file, or keys of another
/// cluster than `cluster`: nothing is written then.
void restore_keys(const std::filesystem::path& file, const std::filesystem::path& folder, const std::string& cluster,
                  const std::string& passphrase);

/// A new file that only its owner can read (0600, O_EXCL), synced. Throws Error if it exists; what could not be written
/// whole is not left behind.
void write_private(const std::filesystem::path& file, std::string_view content);
/// Makes the folders above a file that are missing, for their owner alone (0700).
void make_private_folders(const std::filesystem::path& file);

/// How a folder of keys is to be opened.
enum class KeysFolder {
    missing,   ///< there is none, or an empty one: Keys::create
    plain,     ///< without a passphrase
    encrypted  ///< with one
};
/// Throws Error if the folder is there but is none of ours.
[[nodiscard]] KeysFolder keys_folder(const std::filesystem::path& folder);

/// Whom bundles of these keys are verified against; `node` and `role` are left empty. Needs no passphrase and no lock.
[[nodiscard]] Trust trust_of_keys(const std::filesystem::path& folder);

}  // namespace makina
