#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace makina {

/// What the node shows to people, in both forms, and what it tells other nodes.
struct Documents {
    std::string json;
    std::string html;
    std::string statement = {};
};

/// No request is longer, in bytes.
inline constexpr std::size_t largest_request = 2048;

/// True if the whole head of an HTTP request (RFC 9112) has come.
[[nodiscard]] bool is_whole_request(std::string_view received);

/// The whole answer to what came: the page at /, the document at /status.json, both for GET and HEAD; else 400, 404 or
/// 405. Nothing of the request is repeated in it.
[[nodiscard]] std::string http_answer(std::string_view received, const Documents& documents);
/// The whole answer to another node: the statement at /statement; else as http_answer, and 503 while there is none.
[[nodiscard]] std::string peer_answer(std::string_view received, const Documents& documents);

/// What a server answered, taken apart.
struct HttpAnswer {
    int status = 0;  ///< 0: not an answer, or not a whole one
    std::string_view body;
};
/// Reads all that a server sent until it ended the connection. The request was HTTP/1.0, so that nothing comes in
/// chunks (RFC 9112, 7.1); a Content-Length, if there is one, must be what came.
[[nodiscard]] HttpAnswer read_http_answer(std::string_view received);

}  // namespace makina
