#include "firstboot/machine/http.hpp"

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

}  // namespace makina
