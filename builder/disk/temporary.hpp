#pragma once

#include <filesystem>
#include <string_view>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// A file of ours alone (0600) in TMPDIR or /tmp that has no name and is gone when this is, however we end.
class TemporaryFile {
  public:
    TemporaryFile();
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile() = default;

    /// Good for us and for programs that we start, while this lives.
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] int descriptor() const { return file_.get(); }
    void fill(std::string_view content) const;

  private:
    std::filesystem::path path_;
    Descriptor file_;
};

}  // namespace makina
