#pragma once

#include <filesystem>
#include <string_view>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// A file of ours alone (0600) in TMPDIR or /tmp that is gone when this is.
class TemporaryFile {
  public:
    TemporaryFile();
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;
    ~TemporaryFile();

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] int descriptor() const { return file_.get(); }
    void fill(std::string_view content) const;

  private:
    std::filesystem::path path_;
    Descriptor file_;
};

}  // namespace makina
