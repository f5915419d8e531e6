#pragma once

#include <streambuf>

namespace makina {

/// Watches over standard output while it lives: std::cout knows that a write has failed, but not why.
class Output : private std::streambuf {
  public:
    Output();
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;
    ~Output() override;

    /// Throws Error if something of what was said did not get out. A reader that went away (`inspect | head`) has what
    /// it wanted.
    void require_written();

  private:
    int overflow(int letter) override;
    std::streamsize xsputn(const char* text, std::streamsize size) override;
    int sync() override;
    void note_failure();

    std::streambuf* behind_;
    int number_ = 0;  ///< errno of the first write that failed
};

}  // namespace makina
