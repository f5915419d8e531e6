#include "firstboot/join/stacked_etcd.hpp"

#include <algorithm>
#include <map>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/text.hpp"

namespace makina {

Credentials etcd_credentials(const Bundle& bundle) {
    const std::string folder = "/etc/kubernetes/pki/";
    const std::string name = folder + (is_stacked(bundle) ? "etcd/healthcheck-client" : "apiserver-etcd-client");
    return {folder + "etcd/ca.crt", name + ".crt", name + ".key"};
}

std::optional<Member> own_member(EtcdApi& api, const Bundle& bundle) {
    const auto report = api.reports({own_address(bundle)}).at(0);
    if (!report.list) return std::nullopt;
    const auto& members = report.list->members;
    const auto found = std::ranges::find(members, bundle.node, &Member::name);
    return found == members.end() ? std::nullopt : std::optional<Member>(*found);
}

JoinRecord learn_identity(Host& host, const Bundle& bundle) {
    constexpr std::uint32_t at_home = 1000;
    JoinRecord record = recorded(host);
    if (!host.look(etcd_pod)) return record;
    const std::uint64_t id = EtcdApi(host, etcd_credentials(bundle)).identity(own_address(bundle), at_home);
    if (id == 0 || id == record.own) return record;
    record.own = id;
    makina::record(host, record);
    return record;
}

JoinRecord forget_identity(Host& host) {
    JoinRecord record = recorded(host);
    if (record.own == 0) return record;
    record.own = 0;
    makina::record(host, record);
    return record;
}

Outcome take_off_list(Host& host, EtcdApi& api, const Decision& decision) {
    JoinRecord record = recorded(host);
    record.removing = decision.id;
    makina::record(host, record);
    const auto change = api.remove(decision.via, decision.id);
    if (!change.done) return {false, "etcd to remove the old member: " + change.fault, {}, 2};
    return {false, "the old member to be gone from the list", {}, 1};
}

void put_data_aside(Host& host) {
    if (host.list("/var/lib/etcd").empty()) return;
    const std::string aside = "etcd-of-a-join-that-failed-";
    std::map<std::uint64_t, std::string> before;
    for (const std::string& name : host.list("/var/lib")) {
        std::uint64_t number = 0;
        if (!name.starts_with(aside) || !read_number(name.substr(aside.size()), number)) continue;
        before[number] = name;
    }
    const std::uint64_t newest = before.empty() ? 0 : before.rbegin()->first;
    host.rename("/var/lib/etcd", aside + std::to_string(newest + 1));
    for (const auto& [number, name] : before) {
        if (number == newest) break;
        const Answer answer = host.run({"rm", "-rf", "--one-file-system", "/var/lib/" + name}, 120);
        if (answer.status != 0) throw Error("rm of /var/lib/" + name + ": " + last_line(answer.errors));
    }
}

}  // namespace makina
