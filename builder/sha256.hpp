#pragma once

#include <string>
#include <string_view>

#include "firstboot/bundle/handle.hpp"

struct evp_md_ctx_st;

namespace makina {

void free_digest(evp_md_ctx_st* context);

/// The SHA-256 of bytes that come in pieces.
class Sha256 {
  public:
    Sha256();
    void add(std::string_view bytes);
    /// 64 lower-case hex digits. Nothing may be added afterwards.
    [[nodiscard]] std::string hex();

  private:
    Handle<evp_md_ctx_st, free_digest> context_;
};

/// The SHA-256 of `bytes` as 64 lower-case hex digits.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);

}  // namespace makina
