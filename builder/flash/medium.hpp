#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "firstboot/bundle/handle.hpp"

namespace makina {

/// What is written to: a card in a reader, or a plain file. The system calls are its members, and they answer as
/// system calls do (-1 and errno), so that tests can put faults exactly there. Several threads may use one at a time.
/// Offsets, sizes and the addresses of buffers are multiples of `block`.
class Medium {
  public:
    /// Direct reads and writes of every device are aligned to this.
    static constexpr std::uint64_t block = 4096;

    Medium() = default;
    Medium(const Medium&) = delete;
    Medium& operator=(const Medium&) = delete;
    virtual ~Medium() = default;

    [[nodiscard]] virtual std::string name() const = 0;    ///< for people: "/dev/sdb"
    [[nodiscard]] virtual std::uint64_t size() const = 0;  ///< bytes
    [[nodiscard]] virtual bool is_file() const = 0;        ///< a plain file, which grows as needed
    /// Called once, before anything is written: a file is emptied.
    virtual int begin() = 0;
    virtual ssize_t read(char* data, std::size_t count, std::uint64_t offset) = 0;
    virtual ssize_t write(const char* data, std::size_t count, std::uint64_t offset) = 0;
    /// Brings everything to the medium itself.
    virtual int sync() = 0;
    /// Makes a range read as zero without sending zeros; EOPNOTSUPP if the medium cannot.
    virtual int zero(std::uint64_t offset, std::uint64_t count) = 0;
    /// Lets go of what the machine remembers of it: the next reads come from the medium.
    virtual int forget() = 0;
    /// The kernel's number of what is in the reader, which another card does not get again (diskseq); none for files.
    virtual std::optional<std::uint64_t> sequence() = 0;
    /// Makes a file as long as its image, and brings that to the medium; a card stays as it is.
    virtual int resize(std::uint64_t size) = 0;
};

/// A plain file as a card, which nothing is done to before begin(). It is made 0600 if it is not there. Throws Error
/// if it is no plain file, or if somebody else is writing it.
[[nodiscard]] std::shared_ptr<Medium> open_file_medium(const std::filesystem::path& file);

/// A whole block device that is open already (O_RDWR | O_EXCL | O_DIRECT). `zeroes` says that the device can make
/// ranges zero by itself (queue/write_zeroes_max_bytes). Throws Error.
[[nodiscard]] std::shared_ptr<Medium> block_medium(Descriptor device, const std::string& name, bool zeroes);

}  // namespace makina
