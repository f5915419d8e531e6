#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "firstboot/bundle/handle.hpp"
#include "firstboot/host.hpp"

namespace makina {

/// The node's files below a root folder. Symbolic links are followed as if the root were "/", so that nothing outside
/// is ever reached. The promises are those of Host.
class Files {
  public:
    /// Throws Error if there is no such folder.
    explicit Files(const std::filesystem::path& root);

    [[nodiscard]] std::optional<std::string> read(const std::string& path, std::size_t cap) const;
    [[nodiscard]] std::optional<PathFacts> look(const std::string& path) const;
    [[nodiscard]] std::vector<std::string> list(const std::string& path) const;
    void write(const std::string& path, const std::string& content, const Access& access) const;
    void replace(const std::string& path, const std::string& content, const Access& access) const;
    void clear_beside(const std::string& path) const;
    void remove(const std::string& path) const;
    void wipe(const std::string& path) const;
    void rename(const std::string& path, const std::string& name) const;
    void sync(const std::string& path) const;
    /// In parts: a slow card may take minutes for all of it. Calls `meanwhile` before each.
    void trim(const std::function<void()>& meanwhile) const;
    [[nodiscard]] std::uint64_t free_bytes() const;

    /// A folder, open for reading; nothing if there is none.
    [[nodiscard]] Descriptor folder(const std::string& path) const;
    /// The same; folders that are missing are made, durably, with this access.
    [[nodiscard]] Descriptor make_folder(const std::string& path, const Access& access) const;
    /// The root folder itself.
    [[nodiscard]] int root() const { return root_.get(); }

  private:
    struct Place {
        Descriptor folder;  ///< nothing if it does not exist
        std::string name;   ///< below it; "." for the folder itself
    };
    enum class Links { follow, keep };       ///< what becomes of a link that is the path's last name
    enum class Before { leave, overwrite };  ///< what becomes of a file that is replaced
    void put(const std::string& path, const std::string& content, const Access& access, Before before) const;
    [[nodiscard]] Place find(const std::string& path, Links links, const Access* made = nullptr) const;

    Descriptor root_;
};

/// Fills a regular file that is open for writing with zeros and syncs it. Throws Error.
void overwrite(int file);
/// Writes all of it; throws Error "writing".
void write_all(int file, std::string_view bytes);
/// Makes what was done in a folder durable; throws Error.
void sync_folder(int folder);

}  // namespace makina
