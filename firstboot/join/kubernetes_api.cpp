#include "firstboot/join/kubernetes_api.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

using Json = nlohmann::json;

constexpr std::uint16_t own_port = 6443;

/// The balancers' address, if it is a numeric one; names are not looked up before the node has joined.
std::optional<ApiServer> balanced(const std::string& api) {
    const auto colon = api.rfind(':');
    std::uint64_t port = 0;
    if (colon == std::string::npos || !read_number(api.substr(colon + 1), port) || port > 65535) return std::nullopt;
    const std::string host = api.substr(0, colon);
    if (host.find_first_not_of("0123456789.") != std::string::npos) return std::nullopt;
    return ApiServer{host, static_cast<std::uint16_t>(port)};
}

std::string fault_of(const Response& response) {
    return response.status == 0 ? response.fault : "HTTP status " + std::to_string(response.status);
}

/// 404: before 1.16 there was no /readyz, and who answers it that way serves.
bool says_ready(const Response& response) {
    return response.status == 200 || response.status == 404;
}

/// `condition` of a Node's status.
bool has_condition(const Json& node, const char* condition) {
    const Json conditions = node.value("/status/conditions"_json_pointer, Json::array());
    return std::ranges::any_of(conditions, [&](const Json& one) {
        return one.is_object() && one.value("type", "") == condition && one.value("status", "") == "True";
    });
}

}  // namespace

std::string to_string(const ApiServer& server) {
    return server.address + ":" + std::to_string(server.port);
}

Request KubernetesApi::request(const ApiServer& server, const std::string& target) const {
    Request request;
    request.address = server.address;
    request.port = server.port;
    request.target = target;
    request.tls = tls_;
    request.milliseconds = patience;
    return request;
}

KubernetesApi::Found KubernetesApi::find(const Bundle& bundle, std::uint32_t milliseconds) {
    std::vector<ApiServer> servers;
    if (auto one = balanced(bundle.api)) servers.push_back(std::move(*one));
    for (const Peer& peer : bundle.peers) {
        if (peer.role == "control-plane" && peer.name != bundle.node) servers.push_back({peer.address, own_port});
    }
    std::vector<Request> requests;
    requests.reserve(servers.size());
    for (const ApiServer& server : servers) requests.push_back(request(server, "/readyz"));
    for (Request& one : requests) one.milliseconds = milliseconds;
    const std::vector<Response> responses = host_.fetch(requests);
    Found found;
    for (std::size_t at = 0; at < servers.size() && !found.server; ++at) {
        if (says_ready(responses.at(at))) found.server = servers[at];
        found.faults +=
            (found.faults.empty() ? "" : ", ") + to_string(servers[at]) + " (" + fault_of(responses.at(at)) + ")";
    }
    return found;
}

bool KubernetesApi::is_ready(const ApiServer& server) {
    return says_ready(host_.fetch({request(server, "/readyz")}).at(0));
}

KubernetesApi::NodeFacts KubernetesApi::node(const ApiServer& server, const std::string& name) {
    const Response response = host_.fetch({request(server, "/api/v1/nodes/" + name)}).at(0);
    if (response.status == 404) return {};
    const Json node = Json::parse(response.body, nullptr, false);
    if (response.status != 200 || !node.is_object() || node.value("kind", "") != "Node") {
        throw Error("asking the API server at " + to_string(server) + " for the node " + name + ": " +
                    (response.status == 200 ? "the answer is no Node" : fault_of(response)));
    }
    NodeFacts facts{true, has_condition(node, "Ready"), ""};
    const auto annotations = node.value("/metadata/annotations"_json_pointer, Json::object());
    const auto epoch = annotations.find(epoch_annotation);
    if (epoch != annotations.end() && epoch->is_string()) facts.epoch = epoch->get<std::string>();
    return facts;
}

}  // namespace makina
