#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// A file in memory with these parts one after the other: nothing to clean up, however we end.
class MemoryFile {
  public:
    explicit MemoryFile(std::initializer_list<std::string_view> parts);
    [[nodiscard]] int descriptor() const { return file_.get(); }
    /// Good for us, and for a program that has the descriptor.
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(file_.get()); }

  private:
    Descriptor file_;
};

}  // namespace makina
