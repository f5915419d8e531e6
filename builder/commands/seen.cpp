#include "builder/commands/seen.hpp"

namespace makina {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& status, const char* key) {
    const auto found = status.find(key);
    return found != status.end() && found->is_string() ? found->get<std::string>() : std::string();
}

template <typename Number>
Number number_of(const Json& status, const char* key) {
    const auto found = status.find(key);
    return found != status.end() && found->is_number_integer() ? found->get<Number>() : Number{};
}

}  // namespace

Seen seen_of(const Node& node, const StatusReply& reply) {
    Seen seen;
    seen.node.name = node.name;
    seen.node.role = to_string(node.role);
    seen.node.state = reply.fault;
    if (!reply.fault.empty()) return seen;
    Json status = Json::parse(reply.document, nullptr, false);
    if (!status.is_object()) {
        seen.node.state = "what answers is not makina-firstboot";
        return seen;
    }
    const std::string name = text_of(status, "node");
    seen.node.reached = name.empty() || name == node.name;
    seen.node.state = seen.node.reached ? text_of(status, "state") : "another node answers: " + name;
    if (!seen.node.reached) return seen;
    seen.node.stage = text_of(status, "stage");
    seen.node.waiting_for = text_of(status, "waiting_for");
    const std::string fault = text_of(status, "last_error");
    if (seen.node.waiting_for.empty() && seen.node.state != "joined") seen.node.waiting_for = fault;
    // Why it is refused says more than what it needs.
    if (seen.node.state == "refused" && seen.node.waiting_for != fault) {
        seen.node.waiting_for = fault + "; it needs " + seen.node.waiting_for;
    }
    seen.node.epoch = number_of<std::uint64_t>(status, "epoch");
    // By the node's own steady clock: its calendar may be wrong.
    seen.node.seconds = number_of<std::int64_t>(status, "uptime") - number_of<std::int64_t>(status, "since_uptime");
    seen.status = std::move(status);
    return seen;
}

Json lasting(Json status) {
    if (status.is_object()) {
        for (const char* const key : {"now", "uptime"}) status.erase(key);
    }
    return status;
}

}  // namespace makina
