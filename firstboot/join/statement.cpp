#include "firstboot/join/statement.hpp"

#include <limits>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

constexpr std::string_view first_line = "makina-statement 1";
constexpr std::size_t most_founders = 64;
constexpr std::size_t digits = 32;

void write(std::string& text, std::string_view key, std::string_view value) {
    if (!value.empty()) text.append(key).append(" ").append(value).append("\n");
}

std::string text_of(const Ballot& ballot) {
    return ballot.round == 0 ? "" : std::to_string(ballot.round) + " " + ballot.by;
}

std::string text_of(const Founders& founders) {
    std::string text;
    for (const auto& [node, incarnation] : founders) {
        text.append(text.empty() ? "" : ",").append(node).append("=").append(incarnation);
    }
    return text;
}

Ballot read_ballot(Lines& lines, std::string_view key) {
    if (!lines.follows(key)) return {};
    const std::string_view text = lines.value(key);
    const std::size_t space = text.find(' ');
    Ballot ballot;
    if (space == text.npos || !read_number(text.substr(0, space), ballot.round) || ballot.round == 0 ||
        !is_hex(text.substr(space + 1), digits)) {
        lines.refuse("\"" + std::string(key) + "\" is without a round and an incarnation");
    }
    ballot.by = text.substr(space + 1);
    return ballot;
}

Founders read_founders(Lines& lines, std::string_view key) {
    if (!lines.follows(key)) return {};
    std::string_view text = lines.value(key);
    Founders founders;
    for (;;) {
        const std::string_view one = text.substr(0, text.find(','));
        const std::size_t equals = one.find('=');
        if (equals == one.npos || !is_dns_label(one.substr(0, equals)) || !is_hex(one.substr(equals + 1), digits)) {
            lines.refuse("\"" + std::string(key) + "\" is no list of nodes and their incarnations");
        }
        const std::string node(one.substr(0, equals));
        if (!founders.empty() && founders.rbegin()->first >= node) lines.refuse("the nodes' names do not ascend");
        founders.emplace(node, one.substr(equals + 1));
        if (founders.size() > most_founders) lines.refuse("there are too many nodes");
        if (one.size() == text.size()) return founders;
        text.remove_prefix(one.size() + 1);
    }
}

bool read_yes(Lines& lines, std::string_view key) {
    if (!lines.follows(key)) return false;
    if (lines.value(key) != "yes") lines.refuse("\"" + std::string(key) + "\" is not \"yes\"");
    return true;
}

}  // namespace

std::string encode(const Statement& statement) {
    std::string text = std::string(first_line) + "\n";
    write(text, "cluster-id", statement.cluster_id);
    write(text, "node", statement.node);
    write(text, "role", statement.role);
    write(text, "incarnation", statement.incarnation);
    write(text, "formation", statement.formation);
    write(text, "again", statement.again ? "yes" : "");
    write(text, "promised", text_of(statement.promised));
    write(text, "accepted", text_of(statement.accepted));
    write(text, "value", text_of(statement.value));
    write(text, "attempt", text_of(statement.attempt));
    write(text, "proposal", text_of(statement.proposal));
    write(text, "decided", text_of(statement.decided));
    write(text, "member", statement.member ? "yes" : "");
    write(text, "seen", text_of(statement.seen));
    text += "end\n";
    return text;
}

Statement decode_statement(std::string_view text) {
    if (text.size() > Statement::largest) throw Untrusted("the statement is larger than any can be");
    Lines lines(text);
    Statement statement;
    lines.expect(first_line);
    statement.cluster_id = lines.hex("cluster-id", digits);
    statement.node = lines.label("node");
    statement.role = lines.role("role");
    statement.incarnation = lines.hex("incarnation", digits);
    if (lines.follows("formation")) statement.formation = lines.hex("formation", digits);
    statement.again = read_yes(lines, "again");
    statement.promised = read_ballot(lines, "promised");
    statement.accepted = read_ballot(lines, "accepted");
    statement.value = read_founders(lines, "value");
    if (statement.value.empty() != (statement.accepted.round == 0)) lines.refuse("accepted is not the value's ballot");
    statement.attempt = read_ballot(lines, "attempt");
    statement.proposal = read_founders(lines, "proposal");
    statement.decided = read_founders(lines, "decided");
    statement.member = read_yes(lines, "member");
    statement.seen = read_founders(lines, "seen");
    lines.expect("end");
    if (!lines.rest().empty()) lines.refuse("something after the end");
    return statement;
}

}  // namespace makina
