#include "firstboot/machine/http.hpp"

#include <strings.h>

#include <algorithm>
#include <charconv>

namespace makina {
namespace {

std::string answer(std::string_view status, std::string_view type, std::string_view body, bool with_body) {
    std::string text = "HTTP/1.1 ";
    text += status;
    text += "\r\nContent-Type: ";
    text += type;
    text += "\r\nContent-Length: " + std::to_string(body.size());
    text += "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n";
    if (status == "405 Method Not Allowed") text += "Allow: GET, HEAD\r\n";
    // The page needs nothing but its own style, and belongs in nobody's frame.
    text += "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\r\n";
    if (with_body) text += body;
    return text;
}

std::string refusal(std::string_view status) {
    return answer(status, "text/plain; charset=utf-8", std::string(status) + "\n", true);
}

/// Words of the request line, which alone decides.
struct RequestLine {
    std::string_view method, target;
    bool right = false;
};

RequestLine request_line(std::string_view received) {
    const std::string_view line = received.substr(0, received.find("\r\n"));
    const std::size_t first = line.find(' ');
    const std::size_t second = first == line.npos ? line.npos : line.find(' ', first + 1);
    if (second == line.npos) return {};
    const std::string_view version = line.substr(second + 1);
    const std::string_view target = line.substr(first + 1, second - first - 1);
    const bool right = (version == "HTTP/1.1" || version == "HTTP/1.0") && !target.empty() && target.front() == '/';
    return {line.substr(0, first), target, right};
}

}  // namespace

bool is_whole_request(std::string_view received) {
    return received.find("\r\n\r\n") != received.npos;
}

std::string http_answer(std::string_view received, const Documents& documents) {
    const RequestLine line = request_line(received);
    if (!is_whole_request(received) || !line.right) return refusal("400 Bad Request");
    const bool head = line.method == "HEAD";
    if (line.target != "/" && line.target != "/status.json") return refusal("404 Not Found");
    if (line.method != "GET" && !head) return refusal("405 Method Not Allowed");
    if (line.target == "/") return answer("200 OK", "text/html; charset=utf-8", documents.html, !head);
    return answer("200 OK", "application/json", documents.json, !head);
}

std::string peer_answer(std::string_view received, const Documents& documents) {
    const RequestLine line = request_line(received);
    if (!is_whole_request(received) || !line.right) return refusal("400 Bad Request");
    if (line.target != "/statement") return refusal("404 Not Found");
    if (line.method != "GET") return refusal("405 Method Not Allowed");
    if (documents.statement.empty()) return refusal("503 Service Unavailable");
    return answer("200 OK", "text/plain; charset=utf-8", documents.statement, true);
}

HttpAnswer read_http_answer(std::string_view received) {
    constexpr std::string_view version = "HTTP/1.";
    const std::size_t end = received.find("\r\n\r\n");
    if (end == received.npos || received.rfind(version, 0) != 0 || end < version.size() + 5) return {};
    HttpAnswer result;
    const char* const digits = received.data() + version.size() + 2;
    if (std::from_chars(digits, digits + 3, result.status).ptr != digits + 3) return {};
    result.body = received.substr(end + 4);
    std::string_view head = received.substr(0, end + 2);
    for (std::size_t line = head.find("\r\n"); line != head.npos; line = head.find("\r\n")) {
        head.remove_prefix(line + 2);
        constexpr std::string_view name = "content-length:";
        if (head.size() < name.size() || strncasecmp(head.data(), name.data(), name.size()) != 0) continue;
        std::string_view text = head.substr(name.size(), head.find("\r\n") - name.size());
        text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
        std::size_t length = 0;
        const auto read = std::from_chars(text.data(), text.data() + text.size(), length);
        if (read.ec != std::errc{} || length != result.body.size()) return {};
    }
    return result;
}

}  // namespace makina
