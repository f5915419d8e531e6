#include "firstboot/status.hpp"

#include <array>
#include <cstdio>
#include <string_view>

#include "firstboot/utc.hpp"

namespace makina {
namespace {

std::string escaped(char c) {
    std::array<char, 8> text{};
    // What is not ASCII stands for itself no longer: U+FFFD, whatever it was.
    const bool ascii = static_cast<unsigned char>(c) < 0x80;
    const int length = std::snprintf(text.data(), text.size(), "\\u%04x", ascii ? static_cast<unsigned>(c) : 0xfffdU);
    return {text.data(), static_cast<std::size_t>(length)};
}

/// A JSON string. Characters that mean something in HTML are escaped too.
std::string quoted(std::string_view text) {
    std::string quoted = "\"";
    for (const char c : text) {
        const bool plain = c >= ' ' && c <= '~' && std::string_view("\"\\<>&").find(c) == std::string_view::npos;
        quoted += plain ? std::string(1, c) : escaped(c);
    }
    return quoted + "\"";
}

class Object {
  public:
    void put(std::string_view name, std::string_view text) { member(name, quoted(text)); }
    void put(std::string_view name, std::int64_t number) { member(name, std::to_string(number)); }
    void put(std::string_view name, std::uint64_t number) { member(name, std::to_string(number)); }
    void put(std::string_view name, bool value) { member(name, value ? "true" : "false"); }
    void member(std::string_view name, const std::string& value) {
        text_ += (text_.empty() ? "{" : ",") + quoted(name) + ":" + value;
    }
    [[nodiscard]] std::string text() const { return text_ + "}"; }

  private:
    std::string text_;
};

std::string steps_of(const Status& status) {
    std::string text = "[";
    for (const Status::Step& step : status.steps) {
        Object object;
        object.put("name", std::string_view(step.name));
        object.put("done", step.done);
        text += (text.size() > 1 ? "," : "") + object.text();
    }
    return text + "]";
}

std::string html(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        if (c >= ' ' && c <= '~' && std::string_view("\"'<>&").find(c) == std::string_view::npos) {
            escaped += c;
        } else {
            escaped +=
                "&#" + std::to_string(static_cast<unsigned char>(c) < ' ' ? 63 : static_cast<unsigned char>(c)) + ";";
        }
    }
    return escaped;
}

std::string row(std::string_view name, std::string_view text) {
    if (text.empty()) return {};
    return "<tr><th>" + html(name) + "</th><td>" + html(text) + "</td></tr>\n";
}

std::string length_of(std::int64_t seconds) {
    if (seconds < 120) return std::to_string(seconds) + " s";
    if (seconds < 7200) return std::to_string(seconds / 60) + " min";
    return std::to_string(seconds / 3600) + " h";
}

std::string list_of(const std::vector<Status::Step>& steps) {
    std::string text = "<ol>\n";
    for (const Status::Step& step : steps) {
        text += "<li class=\"" + std::string(step.done ? "done" : "open") + "\">" + html(step.name) +
                (step.done ? ": done" : "") + "</li>\n";
    }
    return text + "</ol>\n";
}

constexpr std::string_view style =
    "body{font:1.1em sans-serif;margin:1em;max-width:40em}th{text-align:left;padding-right:1em;vertical-align:top}"
    ".done{color:#070}.refused,.failed{color:#b00}.joined{color:#070}";

}  // namespace

std::string to_json(const Status& status) {
    Object object;
    object.put("version", std::string_view(status.version));
    object.put("cluster", std::string_view(status.cluster));
    object.put("cluster_id", std::string_view(status.cluster_id));
    object.put("node", std::string_view(status.node));
    object.put("role", std::string_view(status.role));
    object.put("card", std::string_view(status.card));
    object.put("address", std::string_view(status.address));
    object.put("epoch", status.epoch);
    object.put("expires", status.expires);
    object.put("state", std::string_view(status.state));
    object.put("stage", std::string_view(status.stage));
    object.put("waiting_for", std::string_view(status.waiting_for));
    object.put("last_error", std::string_view(status.last_error));
    object.put("notice", std::string_view(status.notice));
    object.put("since", status.since);
    object.put("since_uptime", status.since_uptime);
    object.put("now", status.now);
    object.put("uptime", status.uptime);
    object.put("clock_synced", status.clock_synced);
    object.member("steps", steps_of(status));
    return object.text() + "\n";
}

std::string to_html(const Status& status) {
    const std::string title = status.node.empty() ? "a MAKINA node" : status.node;
    const std::string where = status.stage.empty() ? "" : " at " + status.stage;
    std::string page =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">"
        "<meta name=\"viewport\" content=\"width=device-width\"><title>" +
        html(title) + "</title><style>" + std::string(style) + "</style></head><body>\n";
    page += "<h1>" + html(title) + "</h1>\n<p class=\"" + html(status.state) + "\"><b>" + html(status.state) + "</b>" +
            html(where) + " since " + length_of(status.uptime - status.since_uptime) + "</p>\n<table>\n";
    page += row("waiting for", status.waiting_for) + row("last error", status.last_error) + row("note", status.notice);
    page += row("role", status.role) + row("cluster", status.cluster) + row("address", status.address);
    if (status.epoch > 0) page += row("bundle", "epoch " + std::to_string(status.epoch));
    if (status.expires > 0) page += row("it expires", utc(status.expires));
    page += row("clock", utc(status.now) + (status.clock_synced ? "" : ", not set by a time server yet"));
    page += row("running", length_of(status.uptime)) + row("version", status.version);
    return page + "</table>\n" + list_of(status.steps) + "</body></html>\n";
}

}  // namespace makina
