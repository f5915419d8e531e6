#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

namespace makina {

/// A file's bytes in order, unpacked if it is packed with xz, zstd or gzip (told by its first bytes).
class Unpacking {
  public:
    Unpacking() = default;
    Unpacking(const Unpacking&) = delete;
    Unpacking& operator=(const Unpacking&) = delete;
    virtual ~Unpacking() = default;
    /// Fills `data` as far as there are bytes: less than `count` only at the end. Throws Error for a file that is
    /// damaged or cut off; checksums in it are compared.
    [[nodiscard]] virtual std::size_t read(char* data, std::size_t count) = 0;
    /// Bytes of the file, and how many of them were taken.
    [[nodiscard]] virtual std::uint64_t total() const = 0;
    [[nodiscard]] virtual std::uint64_t done() const = 0;
};

/// Throws Error.
[[nodiscard]] std::unique_ptr<Unpacking> open_unpacking(const std::filesystem::path& file);

}  // namespace makina
