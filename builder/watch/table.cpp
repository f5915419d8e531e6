#include <algorithm>
#include <array>

#include "builder/watch/watch.hpp"

namespace makina {
namespace {

constexpr std::size_t columns = 7;
using Row = std::array<std::string, columns>;

std::string printable(std::string text) {
    for (char& letter : text) {
        if (letter < ' ' || letter > '~') letter = '?';
    }
    return text;
}

std::string duration(const std::optional<std::int64_t>& seconds) {
    if (!seconds || *seconds < 0) return "";
    if (*seconds < 120) return std::to_string(*seconds) + " s";
    if (*seconds < 7200) return std::to_string(*seconds / 60) + " min";
    return *seconds < 172'800 ? std::to_string(*seconds / 3600) + " h" : std::to_string(*seconds / 86'400) + " d";
}

Row row_of(const WatchedNode& node) {
    return {printable(node.name),       printable(node.role),   printable(node.state),
            printable(node.stage),      duration(node.seconds), node.epoch == 0 ? "" : std::to_string(node.epoch),
            printable(node.waiting_for)};
}

/// How a terminal is told; ECMA-48, 8.3.117.
const char* style_of(const WatchedNode& node) {
    if (!node.reached) return "\x1b[90m";
    if (node.state == "joined") return "\x1b[32m";
    if (node.state == "failed" || node.state == "refused") return "\x1b[31m";
    return node.state == "waiting" ? "\x1b[33m" : "";
}

std::string laid_out(const Row& row, const std::array<std::size_t, columns>& widths, std::size_t width) {
    std::string line;
    for (std::size_t column = 0; column < columns; ++column) {
        const bool last = column + 1 == columns;
        line += row.at(column);
        if (!last) line.append(widths.at(column) - row.at(column).size() + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    if (width > 3 && line.size() > width) line = line.substr(0, width - 3) + "...";
    return line;
}

}  // namespace

std::string to_table(const std::vector<WatchedNode>& nodes, std::size_t width, bool styled) {
    std::vector<Row> rows = {{"NODE", "ROLE", "STATE", "STAGE", "FOR", "EPOCH", "WAITING FOR"}};
    for (const WatchedNode& node : nodes) rows.push_back(row_of(node));
    std::array<std::size_t, columns> widths{};
    for (const Row& row : rows) {
        for (std::size_t column = 0; column < columns; ++column) {
            widths.at(column) = std::max(widths.at(column), row.at(column).size());
        }
    }
    std::string table = laid_out(rows[0], widths, width) + "\n";
    for (std::size_t at = 0; at < nodes.size(); ++at) {
        const std::string style = styled ? style_of(nodes[at]) : "";
        table += style + laid_out(rows[at + 1], widths, width) + (style.empty() ? "\n" : "\x1b[0m\n");
    }
    return table;
}

std::string to_line(const WatchedNode& node) {
    std::string line = node.name + " " + (node.reached ? node.state : "not reached: " + node.state);
    if (!node.stage.empty()) line += " at " + node.stage;
    if (!node.waiting_for.empty()) line += ": " + node.waiting_for;
    return printable(line);
}

}  // namespace makina
