#pragma once

#include "firstboot/bundle/handle.hpp"
#include "tests/lab/lab.hpp"

namespace makina::border {

/// Puts this thread into a machine's network until its end. A socket stays in the network that it was made in, and
/// keeps it alive: one of a machine whose power may go must not stay open.
class Visit {
  public:
    /// `network` as Machine::network gives it. Throws Error.
    explicit Visit(const lab::fs::path& network);
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit();

  private:
    Descriptor home_;
};

}  // namespace makina::border
