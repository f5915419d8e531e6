#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace makina {

/// SHA-256 (FIPS 180-4) of bytes given in pieces.
class Sha256 {
  public:
    Sha256();
    Sha256(const Sha256&) = delete;
    Sha256& operator=(const Sha256&) = delete;
    ~Sha256();
    void update(std::string_view bytes);
    /// 64 lower-case hex digits; call it once, last.
    [[nodiscard]] std::string hex();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

[[nodiscard]] std::string sha256(std::string_view bytes);
/// Of a file's content. Throws Error if it cannot be read.
[[nodiscard]] std::string sha256_of_file(const std::filesystem::path& file);
/// MD5 (RFC 1321), 32 lower-case hex digits; only because dpkg's records are kept in it.
[[nodiscard]] std::string md5(std::string_view bytes);
/// SHA-1 (FIPS 180-4), 40 lower-case hex digits; only because OpenPGP names its keys of version 4 by it.
[[nodiscard]] std::string sha1(std::string_view bytes);

}  // namespace makina
