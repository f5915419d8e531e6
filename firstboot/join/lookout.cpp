#include "firstboot/join/lookout.hpp"

#include <algorithm>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"
#include "firstboot/join/own_file.hpp"
#include "firstboot/join/standing.hpp"

namespace makina {
namespace {

constexpr std::size_t largest = std::size_t{64} << 10;

std::string epoch_key(const Bundle& bundle) {
    return "/makina/nodes/" + bundle.node + "/epoch";
}

}  // namespace

std::string peer_url_of(const std::string& address) {
    return "https://" + address + ":2380";
}

Sighting Lookout::sight(Host& host, const Bundle& bundle, const JoinRecord& record, bool has_data) {
    EtcdApi api(host, tls_);
    Sighting sighting;
    const std::string own = own_address(bundle);
    sighting.name = bundle.node;
    sighting.peer_url = peer_url_of(own);
    sighting.has_data = has_data;
    std::vector<std::string> addresses;
    const auto want = [&](const std::string& address) {
        if (address.empty() || address == own || sighting.reports.contains(address)) return;
        if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) addresses.push_back(address);
    };
    for (const Peer& peer : founders_of(bundle)) want(peer.address);
    // Members that the bundle does not know are known to the others.
    for (int round = 0; round < 2 && !addresses.empty(); ++round) {
        const auto reports = api.reports(addresses);
        for (std::size_t at = 0; at < addresses.size(); ++at) sighting.reports.emplace(addresses[at], reports[at]);
        addresses.clear();
        for (const auto& report : reports) {
            if (!report.list) continue;
            for (const Member& member : report.list->members) {
                for (const std::string& url : member.peer_urls) want(host_of(url));
            }
        }
    }
    const std::int64_t now = host.uptime();
    const auto old = predecessor(sighting, record);
    for (const Interface& interface : host.interfaces()) {
        // It takes a second, and only the place of somebody else is to be asked about.
        if (!old) break;
        const auto& its = interface.addresses;
        if (std::find(its.begin(), its.end(), bundle.address) == its.end()) continue;
        sighting.other_mac = host.probe(interface.name, own).value_or("");
    }
    sighting.dead_for = old ? dead_.seconds(sighting, *old, now) : 0;
    sighting.silent_for = record.own != 0 ? silent_.seconds(sighting, record.own, now) : 0;
    return sighting;
}

JoinRecord recorded(Host& host) {
    const auto text = host.read(JoinRecord::path, largest);
    return text ? reading_own(JoinRecord::path, [&] { return decode_join_record(*text); }) : JoinRecord{};
}

void record(Host& host, const JoinRecord& record) {
    const std::string text = encode(record);
    if (host.read(JoinRecord::path, largest) != text) host.write(JoinRecord::path, text, {0600, "root", "root"});
}

std::uint64_t known_epoch(EtcdApi& api, const std::string& via, const Bundle& bundle, std::string& text) {
    const std::string key = epoch_key(bundle);
    text = api.get(via, key);
    std::uint64_t epoch = 0;
    if (!text.empty() && !read_number(text, epoch)) throw Error(key + " in etcd is not a number");
    return epoch;
}

Outcome claim(EtcdApi& api, const std::string& via, const Bundle& bundle) {
    std::string before;
    const std::uint64_t epoch = known_epoch(api, via, bundle, before);
    if (epoch == bundle.epoch) return {true};
    if (epoch > bundle.epoch) {
        return {false, "a newer card: the cluster knows epoch " + before + " of " + bundle.node + ", this one has " +
                           std::to_string(bundle.epoch)};
    }
    if (api.replace(via, epoch_key(bundle), before, std::to_string(bundle.epoch))) return {true};
    return {false, "another card of " + bundle.node + " to be gone", {}, 1};
}

}  // namespace makina
