#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "builder/flash/flash.hpp"

namespace makina {

/// Bytes at an address that direct reads and writes take.
class AlignedBuffer {
  public:
    explicit AlignedBuffer(std::size_t size);
    [[nodiscard]] char* data() const { return data_.get(); }

  private:
    std::shared_ptr<char> data_;
};

/// Nothing moves any more; what is asked of the medium now would hang as well.
class Stalled : public Error {
  public:
    using Error::Error;
};

/// Several threads that do one thing each until nothing is left to do.
struct Crew {
    const FlashOptions& options;

    /// `step` gets a buffer of piece_size and gives false when there is nothing more to do; it is called by
    /// options.in_flight threads and must keep alive what it uses. `progress` tells how far they are. Throws what a
    /// step threw first, an Error if it was interrupted, or a Stalled if nothing moved for stall_seconds: then the
    /// threads are left to themselves.
    void run(const std::function<bool(char* buffer)>& step, const std::function<FlashProgress()>& progress) const;
};

// Whole transfers, or an Error that says where. A short one is an error: devices give none without a fault behind it.
void read_whole(Medium& medium, char* data, std::uint64_t count, std::uint64_t offset);
void write_whole(Medium& medium, const char* data, std::uint64_t count, std::uint64_t offset);
void sync_medium(Medium& medium);
/// Brings everything to the medium and forgets it here.
void sync_and_forget(Medium& medium);
/// Makes a range (at most piece_size) read as zero by the quickest way: it is read, and what is not zero is emptied by
/// the device itself or overwritten. `buffer` has room for the range. Gives how many bytes of zeros were sent.
std::uint64_t zero_range(Medium& medium, std::uint64_t offset, std::uint64_t count, char* buffer);
[[nodiscard]] bool is_zero(const char* data, std::uint64_t count);

}  // namespace makina
