#pragma once

#include <string>
#include <vector>

#include "builder/rehearse/rehearse.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {

/// Asks a guest with a patient probe the same questions as often as one likes.
class Inquiry {
  public:
    /// Throws Error.
    explicit Inquiry(const std::vector<Question>& questions);
    /// The end of the line that the machine gets.
    [[nodiscard]] int other_end() const { return other_.get(); }

    /// Begins; the replies of the last time are forgotten.
    void ask();
    /// Takes what the guest has said since. True when everything is answered.
    [[nodiscard]] bool answered();
    /// One for each question; those that are open have the status -1.
    [[nodiscard]] const std::vector<Reply>& replies() const { return replies_; }

  private:
    void hear(const std::string& line);

    Descriptor ours_, other_;
    std::vector<Reply> replies_;
    std::string line_;
    bool over_ = true;
};

}  // namespace makina
