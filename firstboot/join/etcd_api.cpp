#include "firstboot/join/etcd_api.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

using Json = nlohmann::json;

constexpr std::uint16_t client_port = 2379;

Json parsed(const std::string& text) {
    return Json::parse(text, nullptr, false);
}

/// A uint64 as the gateway writes it, or 0.
std::uint64_t number_of(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found == object.end()) return 0;
    if (found->is_number_unsigned()) return found->get<std::uint64_t>();
    if (!found->is_string()) return 0;
    const auto& text = found->get_ref<const std::string&>();
    std::uint64_t number = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
    return read.ec == std::errc{} && read.ptr == text.data() + text.size() ? number : 0;
}

std::string text_of(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::vector<std::string> texts_of(const Json& object, const char* key) {
    std::vector<std::string> texts;
    const auto found = object.find(key);
    if (found == object.end() || !found->is_array()) return texts;
    for (const Json& item : *found) {
        if (item.is_string()) texts.push_back(item.get<std::string>());
    }
    return texts;
}

std::optional<Member> member_in(const Json& object) {
    if (!object.is_object()) return std::nullopt;
    Member member;
    member.id = number_of(object, "ID");
    member.name = text_of(object, "name");
    member.peer_urls = texts_of(object, "peerURLs");
    member.client_urls = texts_of(object, "clientURLs");
    const auto learner = object.find("isLearner");
    member.learner = learner != object.end() && learner->is_boolean() && learner->get<bool>();
    if (member.id == 0 || member.peer_urls.empty()) return std::nullopt;
    return member;
}

/// What went wrong, for people: etcd's own message if it gave one.
std::string fault_of(const Response& response) {
    if (response.status == 0) return response.fault;
    const Json json = parsed(response.body);
    const std::string message = json.is_object() ? text_of(json, json.contains("message") ? "message" : "error") : "";
    return message.empty() ? "HTTP status " + std::to_string(response.status) : message;
}

/// The condition that a key still has this value; empty: that there is none.
Json still(const std::string& key, const std::string& value) {
    Json compare = {{"key", to_base64(key)}, {"result", "EQUAL"}};
    if (value.empty()) {
        compare["target"] = "VERSION";
        compare["version"] = "0";
    } else {
        compare["target"] = "VALUE";
        compare["value"] = to_base64(value);
    }
    return compare;
}

}  // namespace

std::optional<MemberList> read_member_list(const std::string& json) {
    const Json object = parsed(json);
    if (!object.is_object() || !object.contains("header") || !object["header"].is_object()) return std::nullopt;
    MemberList list;
    list.cluster = number_of(object["header"], "cluster_id");
    const auto members = object.find("members");
    if (list.cluster == 0 || members == object.end() || !members->is_array()) return std::nullopt;
    for (const Json& item : *members) {
        auto member = member_in(item);
        if (!member) return std::nullopt;
        list.members.push_back(std::move(*member));
    }
    std::sort(list.members.begin(), list.members.end(), [](const Member& a, const Member& b) { return a.id < b.id; });
    return list;
}

std::map<std::uint64_t, std::string> read_by_member(std::string_view metrics, std::string_view name,
                                                    std::string_view label) {
    std::map<std::uint64_t, std::string> values;
    while (!metrics.empty()) {
        const std::string_view line = metrics.substr(0, metrics.find('\n'));
        metrics.remove_prefix(std::min(line.size() + 1, metrics.size()));
        if (line.rfind(name, 0) != 0 || line.size() <= name.size() || line[name.size()] != '{') continue;
        const std::size_t at = line.find(std::string(label) + "=\"", name.size());
        const std::size_t space = line.rfind(' ');
        if (at == line.npos || space == line.npos) continue;
        const std::string_view digits = line.substr(at + label.size() + 2);
        std::uint64_t id = 0;
        const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), id, 16);
        if (read.ec == std::errc{} && read.ptr != digits.data() + digits.size() && *read.ptr == '"') {
            values[id] = line.substr(space + 1);
        }
    }
    return values;
}

Request EtcdApi::request(const std::string& address, const std::string& target, const std::string& body) const {
    Request request;
    request.address = address;
    request.port = client_port;
    request.target = target;
    request.body = body;
    request.tls = tls_;
    // A change waits for a majority's disks, and SD cards are slow.
    request.milliseconds = body.empty() ? 3000 : 7000;
    return request;
}

std::vector<EtcdApi::Report> EtcdApi::reports(const std::vector<std::string>& addresses, std::uint32_t milliseconds) {
    std::vector<Request> requests;
    for (const std::string& address : addresses) {
        requests.push_back(request(address, "/health"));
        requests.push_back(request(address, "/v3/cluster/member/list", R"({"linearizable":true})"));
        requests.push_back(request(address, "/metrics"));
    }
    for (Request& one : requests) one.milliseconds = milliseconds;
    const std::vector<Response> responses = host_.fetch(requests);
    std::vector<Report> reports;
    for (std::size_t at = 0; at + 2 < responses.size(); at += 3) {
        Report report;
        const Json health = parsed(responses[at].body);
        report.healthy = responses[at].status == 200 && health.is_object() && text_of(health, "health") == "true";
        if (responses[at + 1].status == 200) report.list = read_member_list(responses[at + 1].body);
        if (!report.list) report.fault = fault_of(responses[at + 1]);
        const std::string& metrics = responses[at + 2].body;
        report.leader = metrics.find("\netcd_server_is_leader 1\n") != std::string::npos;
        report.received = read_by_member(metrics, "etcd_network_peer_received_bytes_total", "From");
        reports.push_back(std::move(report));
    }
    return reports;
}

Response EtcdApi::post(const std::string& address, const std::string& target, const std::string& body) {
    return host_.fetch({request(address, target, body)}).at(0);
}

EtcdApi::Change EtcdApi::change(const std::string& address, const std::string& what, const std::string& body) {
    const Response response = post(address, "/v3/cluster/member/" + what, body);
    Change change;
    const auto list = response.status == 200 ? read_member_list(response.body) : std::nullopt;
    if (!list) {
        change.fault = response.status == 200 ? "the answer is not etcd's" : fault_of(response);
        return change;
    }
    change.done = true;
    change.list = *list;
    if (const Json json = parsed(response.body); json.contains("member")) {
        if (auto member = member_in(json["member"])) change.member = std::move(*member);
    }
    return change;
}

EtcdApi::Change EtcdApi::remove(const std::string& address, std::uint64_t id) {
    return change(address, "remove", Json{{"ID", std::to_string(id)}}.dump());
}

EtcdApi::Change EtcdApi::add_learner(const std::string& address, const std::string& peer_url) {
    Change added = change(address, "add", Json{{"peerURLs", {peer_url}}, {"isLearner", true}}.dump());
    if (added.done && added.member.id == 0) return {false, "the answer does not name the new member", {}, {}};
    return added;
}

EtcdApi::Change EtcdApi::promote(const std::string& address, std::uint64_t id) {
    return change(address, "promote", Json{{"ID", std::to_string(id)}}.dump());
}

std::uint64_t EtcdApi::identity(const std::string& address, std::uint32_t milliseconds) {
    Request question = request(address, "/v3/maintenance/status", "{}");
    question.milliseconds = milliseconds;
    const Response response = host_.fetch({question}).at(0);
    const Json json = parsed(response.body);
    if (response.status != 200 || !json.is_object()) return 0;
    const auto header = json.find("header");
    return header != json.end() && header->is_object() ? number_of(*header, "member_id") : 0;
}

std::string EtcdApi::get(const std::string& address, const std::string& key) {
    const Response response = post(address, "/v3/kv/range", Json{{"key", to_base64(key)}}.dump());
    const Json json = parsed(response.body);
    if (response.status != 200 || !json.is_object())
        throw Error("asking etcd at " + address + ": " + fault_of(response));
    const auto values = json.find("kvs");
    if (values == json.end() || !values->is_array() || values->empty() || !values->front().is_object()) return "";
    return from_base64(text_of(values->front(), "value"));
}

bool EtcdApi::transact(const std::string& address, const std::string& body) {
    const Response response = post(address, "/v3/kv/txn", body);
    const Json json = parsed(response.body);
    if (response.status != 200 || !json.is_object())
        throw Error("writing to etcd at " + address + ": " + fault_of(response));
    const auto succeeded = json.find("succeeded");
    return succeeded != json.end() && succeeded->is_boolean() && succeeded->get<bool>();
}

bool EtcdApi::replace(const std::string& address, const std::string& key, const std::string& before,
                      const std::string& value) {
    const Json put = {{"requestPut", {{"key", to_base64(key)}, {"value", to_base64(value)}}}};
    const Json body = {{"compare", Json::array({still(key, before)})}, {"success", Json::array({put})}};
    return transact(address, body.dump());
}

std::string EtcdApi::take_turn(const std::string& address, const std::string& key, const std::string& holder,
                               std::int64_t seconds) {
    std::string now = get(address, key);
    if (!now.empty() && now != holder) return now;
    const Response response = post(address, "/v3/lease/grant", Json{{"TTL", std::to_string(seconds)}}.dump());
    const Json lease = parsed(response.body);
    if (response.status != 200 || !lease.is_object() || text_of(lease, "ID").empty())
        throw Error("asking etcd at " + address + " for a lease: " + fault_of(response));
    const Json put = {
        {"requestPut", {{"key", to_base64(key)}, {"value", to_base64(holder)}, {"lease", text_of(lease, "ID")}}}};
    const Json body = {{"compare", Json::array({still(key, now)})}, {"success", Json::array({put})}};
    return transact(address, body.dump()) ? holder : get(address, key);
}

void EtcdApi::end_turn(const std::string& address, const std::string& key, const std::string& holder) {
    const Json away = {{"requestDeleteRange", {{"key", to_base64(key)}}}};
    const Json body = {{"compare", Json::array({still(key, holder)})}, {"success", Json::array({away})}};
    (void)transact(address, body.dump());
}

}  // namespace makina
