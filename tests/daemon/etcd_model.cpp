#include "tests/daemon/etcd_model.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/join/members.hpp"

namespace makina::test {
namespace {

using Json = nlohmann::json;

constexpr const char* wal = "/var/lib/etcd/default/member/wal";
constexpr const char* environment = "/var/lib/makina/etcd.env";

Response said(const Json& body) {
    return {200, body.dump(), "", true};
}

Response refused(const std::string& message) {
    return {500, Json{{"error", message}, {"message", message}}.dump(), "", true};
}

std::string value_of(const std::string& text, const std::string& key) {
    const std::size_t at = text.find(key + "=");
    return at == std::string::npos ? "" : text.substr(at + key.size() + 1, text.find('\n', at) - at - key.size() - 1);
}

}  // namespace

std::string EtcdModel::address(std::size_t number) {
    return "192.168.3." + std::to_string(250 + number);
}

EtcdModel::EtcdModel(const std::vector<std::string>& names) {
    for (std::size_t at = 0; at < names.size(); ++at) {
        const std::string host = "https://" + address(at + 1);
        members_.push_back({at + 1, names[at], {host + ":2380"}, {host + ":2379"}, false});
        alive.insert(names[at]);
        used_.insert(at + 1);
        sent_[at + 1] = 1000;
    }
}

const Member* EtcdModel::named(const std::string& name) const {
    const auto found =
        std::find_if(members_.begin(), members_.end(), [&](const auto& one) { return one.name == name; });
    return found == members_.end() ? nullptr : &*found;
}

Member* EtcdModel::with_id(std::uint64_t id) {
    const auto found = std::find_if(members_.begin(), members_.end(), [&](const auto& one) { return one.id == id; });
    return found == members_.end() ? nullptr : &*found;
}

bool EtcdModel::is_up(const Member& member) const {
    if (member.id == started_) return !pod_crashes;
    return (!member.name.empty() && alive.contains(member.name) && !member.learner);
}

bool EtcdModel::has_quorum() const {
    const auto voters = std::count_if(members_.begin(), members_.end(), [](const auto& one) { return !one.learner; });
    const auto up =
        std::count_if(members_.begin(), members_.end(), [&](const auto& one) { return !one.learner && is_up(one); });
    return up > voters / 2;
}

/// True if it is the one that kubeadm has added on the host, and the others have a majority of their own.
bool EtcdModel::is_taken_back(const Member& member) const {
    std::ptrdiff_t others = 0;
    std::ptrdiff_t well = 0;
    for (const Member& one : members_) {
        if (one.id == member.id || one.learner) continue;
        ++others;
        if (is_up(one)) ++well;
    }
    return member.id == taken_in_ && well > others / 2;
}

std::string EtcdModel::list_json() const {
    Json members = Json::array();
    for (const Member& member : members_) {
        Json one = {{"ID", std::to_string(member.id)}, {"peerURLs", member.peer_urls}};
        if (!member.name.empty()) one["name"] = member.name;
        if (!member.client_urls.empty()) one["clientURLs"] = member.client_urls;
        if (member.learner) one["isLearner"] = true;
        members.push_back(one);
    }
    return Json{{"header", {{"cluster_id", "77"}}}, {"members", members}}.dump();
}

std::string EtcdModel::metrics_of(const Member& member) const {
    const auto leader =
        std::find_if(members_.begin(), members_.end(), [&](const Member& one) { return !one.learner && is_up(one); });
    const bool leads = leader != members_.end() && leader->id == member.id;
    std::string text = "# HELP etcd_server_is_leader\netcd_server_is_leader " + std::to_string(leads ? 1 : 0) + "\n";
    for (const auto& [id, bytes] : sent_) {
        if (id == member.id || (!leads && id != leader->id)) continue;
        std::array<char, 120> line{};
        (void)std::snprintf(line.data(), line.size(), "etcd_network_peer_received_bytes_total{From=\"%llx\"} %llu\n",
                            static_cast<unsigned long long>(id), static_cast<unsigned long long>(bytes));
        text += line.data();
    }
    return text;
}

void EtcdModel::start(FakeHost& host) {
    const std::string text = host.text(environment);
    if (text.empty()) return;
    const bool has_wal = host.has(wal);
    if (has_wal) {
        if (data_is_damaged) return;
        started_ = std::stoull(host.text(wal));
        if (with_id(started_) == nullptr) started_ = 0;
    } else {
        // server.go: with an empty folder and an existing cluster, the member at our peer URL is who we are.
        const auto ours = std::find_if(members_.begin(), members_.end(), [&](const Member& one) {
            return one.peer_urls.at(0) == "https://" + address(3) + ":2380";
        });
        if (ours == members_.end() || value_of(text, "ETCD_INITIAL_CLUSTER_STATE") != "existing") return;
        if (!ours->learner) wrongs_.push_back("a voter came back without its data");
        if (value_of(text, "ETCD_INITIAL_CLUSTER").find("etcd-3=https://" + address(3) + ":2380") ==
            std::string::npos) {
            wrongs_.push_back("etcd was started with a cluster that it is not in");
        }
        started_ = ours->id;
        host.put(wal, std::to_string(started_));
        if (data_is_damaged) started_ = 0;
    }
    if (Member* const own = with_id(started_)) {
        own->name = "etcd-3";
        own->client_urls = {"https://" + address(3) + ":2379"};
    }
}

std::string EtcdModel::take_in() {
    const std::string url = "https://" + address(3) + ":2380";
    if (!has_quorum()) return "etcdserver: request timed out";
    const auto ours = std::ranges::find_if(members_, [&](const Member& one) { return one.peer_urls.at(0) == url; });
    if (ours != members_.end()) {
        if (!ours->name.empty()) wrongs_.push_back("a voter came back without its data");
        taken_in_ = ours->id;
        return "";
    }
    ++changes_;
    members_.push_back({++next_id_, "", {url}, {}, learners});
    taken_in_ = next_id_;
    if (!used_.insert(next_id_).second) wrongs_.push_back("an id was given twice");
    return "";
}

void EtcdModel::start_pod() {
    Member* const own = with_id(taken_in_);
    if (own == nullptr) return;
    started_ = own->id;
    if (!own->learner) promoted_ = own->id;
    own->name = "etcd-3";
    own->client_urls = {"https://" + address(3) + ":2379"};
}

std::string EtcdModel::promote_pod() {
    if (!learners) return "";
    start_pod();
    go_on();
    if (!has_quorum()) return "etcdserver: request timed out";
    if (std::string fault = why_not_promoted(taken_in_); !fault.empty()) return fault;
    ++changes_;
    with_id(taken_in_)->learner = false;
    promoted_ = taken_in_;
    return "";
}

bool EtcdModel::serves() const {
    const auto own = std::ranges::find(members_, started_, &Member::id);
    return own != members_.end() && !own->learner && !pod_crashes && has_quorum();
}

void EtcdModel::forget(std::uint64_t id) {
    std::erase_if(members_, [&](const Member& one) { return one.id == id; });
    if (started_ == id) started_ = 0;
}

void EtcdModel::add_voter(const std::string& name, const std::string& url) {
    members_.push_back({++next_id_, name, {url}, {url}, false});
}

void EtcdModel::add_learner(const std::string& url) {
    members_.push_back({++next_id_, "", {url}, {}, true});
}

void EtcdModel::go_on() {
    if (started_ != 0 && !pod_crashes && !learners_lag) in_sync_ = started_;
    for (const Member& member : members_) {
        if (is_up(member) || member.id == started_) sent_[member.id] += 128;
    }
}

Response EtcdModel::answer(FakeHost& host, const Request& request) {
    const auto at = std::find_if(members_.begin(), members_.end(), [&](const Member& one) {
        return host_of(one.peer_urls.at(0)) == request.address && is_up(one);
    });
    if (request.port != 2379 || at == members_.end() || unreachable.contains(at->name)) {
        return {0, "", "connection refused", false};
    }
    const bool answers = !at->learner && has_quorum();
    if (request.target == "/metrics") return {200, metrics_of(*at), "", true};
    if (request.target == "/health")
        return {answers ? 200 : 503, Json{{"health", answers ? "true" : "false"}}.dump(), "", true};
    if (request.target == "/v3/maintenance/status") {
        return said({{"header", {{"cluster_id", "77"}, {"member_id", std::to_string(at->id)}}}});
    }
    if (at->learner) return refused("etcdserver: rpc not supported for learner");
    if (request.target == "/v3/cluster/member/list") {
        if (!answers) return refused("etcdserver: request timed out");
        return {200, list_json(), "", true};
    }
    if (!answers) return refused("etcdserver: request timed out");
    if (request.target == "/v3/lease/grant") return said({{"ID", std::to_string(++leases)}});
    if (request.target.rfind("/v3/kv/", 0) == 0) return key(request);
    return change_list(host, request);
}

Response EtcdModel::key(const Request& request) {
    const Json body = Json::parse(request.body);
    if (request.target == "/v3/kv/range") {
        const std::string name = from_base64(body["key"].get<std::string>());
        if (!keys.contains(name)) return said({{"header", Json::object()}});
        return said({{"kvs", Json::array({{{"value", to_base64(keys[name])}}})}});
    }
    const Json& compare = body["compare"][0];
    const std::string name = from_base64(compare["key"].get<std::string>());
    const bool fits = compare["target"] == "VERSION" ? !keys.contains(name)
                                                     : keys.contains(name) && to_base64(keys[name]) == compare["value"];
    const Json& success = body["success"][0];
    if (fits && success.contains("requestDeleteRange")) {
        keys.erase(name);
    } else if (fits) {
        keys[name] = from_base64(success["requestPut"]["value"].get<std::string>());
    }
    return said(fits ? Json{{"succeeded", true}} : Json{{"header", Json::object()}});
}

Response EtcdModel::change_list(FakeHost& host, const Request& request) {
    const std::string what = request.target.substr(request.target.rfind('/') + 1);
    if (before_change) before_change(what);
    if (!has_quorum()) return refused("etcdserver: request timed out");
    const Json body = Json::parse(request.body);
    if (what == "add") return add(host, body["peerURLs"][0].get<std::string>());
    const std::uint64_t id = std::stoull(body["ID"].get<std::string>());
    return what == "remove" ? remove(host, id) : promote(host, id);
}

Response EtcdModel::remove(FakeHost& host, std::uint64_t id) {
    const Member* const member = with_id(id);
    if (member == nullptr) return refused("etcdserver: member not found");
    if (member->name != "etcd-3" && !member->name.empty())
        wrongs_.push_back("another's member was removed: " + member->name);
    const bool is_retreat = is_taken_back(*member);
    if (is_up(*member) && !member->learner && !is_retreat) wrongs_.push_back("a member was removed that lives");
    if (id == promoted_ && !is_retreat) wrongs_.push_back("a member was removed that had got its vote");
    host.net_change("etcd remove", [&] {
        ++changes_;
        removed.push_back(id);
        std::erase_if(members_, [&](const Member& one) { return one.id == id; });
        if (started_ == id) started_ = 0;
    });
    return {200, list_json(), "", true};
}

Response EtcdModel::add(FakeHost& host, const std::string& url) {
    for (const Member& member : members_) {
        if (member.peer_urls.at(0) == url) return refused("etcdserver: Peer URLs already exists");
        if (member.learner) return refused("etcdserver: too many learner members in cluster");
    }
    host.net_change("etcd add", [&] {
        ++changes_;
        members_.push_back({++next_id_, "", {url}, {}, true});
        if (!used_.insert(next_id_).second) wrongs_.push_back("an id was given twice");
    });
    Json answer = Json::parse(list_json());
    answer["member"] = answer["members"].back();
    return said(answer);
}

std::string EtcdModel::why_not_promoted(std::uint64_t id) {
    const Member* const member = with_id(id);
    if (member == nullptr) return "etcdserver: member not found";
    if (!member->learner) return "etcdserver: can only promote a learner member";
    if (in_sync_ != id) return "etcdserver: can only promote a learner member which is in sync with leader";
    return "";
}

Response EtcdModel::promote(FakeHost& host, std::uint64_t id) {
    if (const std::string fault = why_not_promoted(id); !fault.empty()) return refused(fault);
    host.net_change("etcd promote", [&] {
        ++changes_;
        with_id(id)->learner = false;
        promoted_ = id;
        alive.insert("etcd-3");
    });
    return {200, list_json(), "", true};
}

}  // namespace makina::test
