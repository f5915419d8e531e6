#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace makina {

/// What the node shows, in both forms.
struct Documents {
    std::string json;
    std::string html;
};

/// No request is longer, in bytes.
inline constexpr std::size_t largest_request = 2048;

/// True if the whole head of an HTTP request (RFC 9112) has come.
[[nodiscard]] bool is_whole_request(std::string_view received);

/// The whole answer to what came: the page at /, the document at /status.json, both for GET and HEAD; else 400, 404 or
/// 405. Nothing of the request is repeated in it.
[[nodiscard]] std::string http_answer(std::string_view received, const Documents& documents);

}  // namespace makina
