#pragma once

#include <string>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// A QEMU's command line for programs (docs/interop/qmp-spec.txt of QEMU).
class Monitor {
  public:
    /// Throws Error.
    Monitor();
    /// The end that QEMU gets.
    [[nodiscard]] int other_end() const { return other_.get(); }
    /// Gives it a command, a JSON object, and waits for the answer. Throws Error if it refuses, or says nothing for ten
    /// seconds.
    void tell(const std::string& command);

  private:
    void exchange(const std::string& command);
    [[nodiscard]] std::string heard(const std::string& command) const;

    Descriptor ours_, other_;
    bool greeted_ = false;
};

/// The command that pulls or plugs the cable of a network card. Linux sees it as it sees a real one.
[[nodiscard]] std::string cable_command(const std::string& card, bool plugged);

}  // namespace makina
