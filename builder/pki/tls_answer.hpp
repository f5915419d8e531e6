#pragma once

#include <cstdint>
#include <string>

namespace makina {

/// Answers one HTTP request over TLS on a connected socket: 200 with `body`, whatever was asked for. The certificate is
/// made for this one answer and signed by nobody, for clients that look only whether somebody answers. `now` is in
/// seconds since 1970. Throws Error if the other side does not speak, or takes longer than ten seconds for a word.
void answer_over_tls(int socket, const std::string& body, std::int64_t now);

}  // namespace makina
