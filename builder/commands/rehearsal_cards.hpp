#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "builder/commands/build.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {

/// The cards of a rehearsal: found in a folder of images, or built into a temporary one. What is built has no name once
/// it is written, so it is gone when this is, however we end; the folder with its keys is removed.
class RehearsalCards {
  public:
    /// `images` may be empty. Without it, and without a folder of keys in `options`, the cluster gets keys of its own,
    /// which end with the rehearsal: the ledger of the real ones is not touched. `options` and `reporter` must outlive
    /// it.
    RehearsalCards(const Profile& profile, BuildOptions options, std::filesystem::path images, Reporter& reporter);
    RehearsalCards(const RehearsalCards&) = delete;
    RehearsalCards& operator=(const RehearsalCards&) = delete;
    ~RehearsalCards();

    /// The node's first card: good until the next one of the same node is asked for.
    [[nodiscard]] std::filesystem::path first(const Node& node);
    /// One that is built now, with the node's next epoch. `formed`: others of its role were seen to have formed what
    /// they are a part of, so it only joins. In real keys that is not noted: what was seen is a rehearsal.
    [[nodiscard]] std::filesystem::path next(const Node& node, bool formed);

  private:
    [[nodiscard]] std::filesystem::path folder();
    [[nodiscard]] ImageBuilder& builder();

    std::filesystem::path images_, folder_;
    bool own_keys_ = false;  ///< those that end with the rehearsal
    Profile profile_;
    BuildOptions options_;
    Reporter& reporter_;
    std::unique_ptr<ImageBuilder> builder_;
    std::map<std::string, Descriptor> open_;
};

}  // namespace makina
