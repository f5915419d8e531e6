#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "builder/base/base.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {

/// A lock on a file, which lasts until this goes; the kernel lets go of it if we are killed.
class Lock {
  public:
    enum class Kind { exclusive, shared };

    /// Waits for its turn; `say` is told so if it has to.
    Lock(const std::filesystem::path& file, Kind kind, const std::function<void(const std::string&)>& say = nullptr);
    /// The exclusive lock, if nobody has one.
    [[nodiscard]] static std::optional<Lock> free(const std::filesystem::path& file);

  private:
    explicit Lock(const std::filesystem::path& file);

    Descriptor file_;
};

/// The folder of finished bases. A base is a folder named by what went in; it appears by rename, complete or not at
/// all. Locks: one a request, one a base in use (shared), and one for the short moments in which names change.
class Store {
  public:
    /// Makes the folder if it is missing. Throws Error.
    explicit Store(std::filesystem::path cache);

    /// The file of a lock.
    [[nodiscard]] std::filesystem::path lock(const std::string& name) const { return cache_ / "locks" / name; }
    /// The base that was the answer to this request the last time, if it is still there.
    [[nodiscard]] std::optional<BaseImage> recall(const std::string& request) const;
    /// An empty folder for the holder of the request's lock to make a base in; what an earlier, killed run left is
    /// cleared away.
    [[nodiscard]] std::filesystem::path begin(const std::string& request) const;
    /// A base that was made for another request is the answer to this one as well.
    [[nodiscard]] std::optional<BaseImage> adopt(const std::string& request, const std::string& id) const;
    /// Gives what was made in begin's folder its name.
    [[nodiscard]] BaseImage keep(const std::string& request, const std::string& id) const;

  private:
    [[nodiscard]] std::filesystem::path part_of(const std::string& request) const;
    [[nodiscard]] std::optional<BaseImage> find(const std::string& id) const;
    [[nodiscard]] std::string remembered(const std::string& request) const;
    void remember(const std::string& request, const std::string& id) const;

    std::filesystem::path cache_;
};

}  // namespace makina
