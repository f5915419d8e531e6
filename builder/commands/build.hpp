#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "builder/commands/cluster.hpp"
#include "builder/commands/keyring.hpp"
#include "builder/commands/terminal.hpp"
#include "builder/image.hpp"

namespace CLI {
class App;
}

namespace makina {

struct BuildOptions {
    std::filesystem::path profile;
    std::string node;  ///< empty with `all`
    bool all = false;
    bool replaces =
        false;  ///< the card takes a dead node's place: it only joins, and the node's earlier card is revoked
    std::filesystem::path restore;         ///< the snapshot that etcd's next formation begins with; empty: none
    std::filesystem::path output = "out";  ///< a folder, or a file for one node if it ends in .img, .xz or .zst
    Compression compression = Compression::none;
    bool blocks_only = false;  ///< only what the node's image has besides its base
    bool block_map = false;    ///< a .bmap beside the image
    bool no_checksum = false;
    bool no_bundle = false;  ///< a card without secrets, which gets its bundle later
    std::int64_t valid_days = default_valid_days;
    std::filesystem::path daemon;  ///< the node's makina-firstboot; empty: the one that was compiled beside us
    KeyringOptions keyring;
    bool dry_run = false;
    bool json = false;
    std::optional<std::int64_t> source_date_epoch;  ///< time stamp of what is written; none: that of the base
    BaseOptions base;
};

/// An image whose blocks go straight to a card.
struct ComposedImage {
    std::shared_ptr<PatchedImage> image;
    std::string card;  ///< that its bundle is for; empty without a bundle
};

/// Builds images of a profile's nodes with one keyring and each role's base made once.
class ImageBuilder {
  public:
    /// All three must outlive it. Which node and where the images go is said with each. Reads the snapshot, if one is
    /// to be restored; throws Mistake if it is none.
    ImageBuilder(const BuildOptions& options, const Profile& profile, Reporter& reporter);
    ImageBuilder(const ImageBuilder&) = delete;
    ImageBuilder& operator=(const ImageBuilder&) = delete;
    ~ImageBuilder();

    /// What would be in the node's image; warns of what is odd about it.
    [[nodiscard]] ImagePlan plan(const Node& node);
    /// Decides what is in the node's image and takes the node's next epoch. What it gives writes the image into the
    /// file when it is called after settle(), by any thread, as long as this lives. Both throw Error.
    [[nodiscard]] std::function<WrittenImage()> prepare(const Node& node, const std::filesystem::path& output);
    /// Brings the epochs of all that was prepared to the disk at once. Throws Error.
    void settle();
    /// The same on no disk, for a card; valid as long as this lives.
    [[nodiscard]] ComposedImage compose(const Node& node, const std::string& target);
    /// Notes in the keys what became of a card.
    void note_flashed(const FlashReceipt& receipt);
    /// Notes in the keys that the nodes of this role have formed what they are a part of.
    void note_formed(Role role);

  private:
    /// The plan with a bundle of the node's next epoch in it.
    [[nodiscard]] ImagePlan issue(const Node& node, const std::string& target);

    struct Parts;
    std::unique_ptr<Parts> parts_;
};

/// Builds one image, or one for every node of the profile. Gives the exit code 0. Throws Mistake, Error.
int build(const BuildOptions& options);

/// Adds what decides a node's content and where it comes from: --profile, --keys, --cache and so on.
void add_node_options(CLI::App& command, BuildOptions& options);
/// The time stamp that reproducible builds ask for; none if they do not. Throws Mistake if it is no time.
[[nodiscard]] std::optional<std::int64_t> source_date_epoch();

/// Adds the subcommands `build` and `replace`; their exit code is put into `exit_code`.
void add_build(CLI::App& app, int& exit_code);

}  // namespace makina
