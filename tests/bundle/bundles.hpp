#pragma once

#include <cstdint>
#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/trust.hpp"
#include "tests/bundle/seal.hpp"

namespace makina::forge {

/// When the bundles of these tests are issued, and for how long: 2026-01-01, 30 days.
inline constexpr std::int64_t issue_time = 1767225600;
inline constexpr std::int64_t month = 30 * 86400;

inline const std::string cluster_id = "00112233445566778899aabbccddeeff";

inline Bundle worker_bundle() {
    Bundle bundle;
    bundle.cluster_id = cluster_id;
    bundle.cluster = "makina";
    bundle.node = "worker-1";
    bundle.role = "worker";
    bundle.card = "ffeeddccbbaa99887766554433221100";
    bundle.epoch = 3;
    bundle.issued = issue_time;
    bundle.expires = issue_time + month;
    bundle.architecture = "arm64";
    bundle.board = "rpi4";
    bundle.serial = "10000000abcdef01";
    bundle.mac = "dc:a6:32:01:02:03";
    bundle.address = "192.168.3.251/24";
    bundle.interface = "eth0";
    bundle.api = "192.168.3.240:9000";
    bundle.spare = 1 << 30;
    bundle.genesis = cluster_id;
    bundle.peers = {{"etcd-1", "etcd", "192.168.3.231"}, {"lb-1", "load-balancer", "192.168.3.241"}};
    bundle.payloads = {{"kubelet.crt", "a certificate\n"}, {"kubelet.key", "a key\n"}, {"trust", std::string(3, '\0')}};
    return bundle;
}

/// A worker's bundle whose payloads fill `bytes` bytes.
inline Bundle bundle_of_size(std::size_t bytes) {
    Bundle bundle = worker_bundle();
    bundle.payloads = {{"node.key", std::string(bytes, '\0')}};
    std::uint32_t state = 1;
    for (char& c : bundle.payloads.front().content) {
        state = state * 1664525 + 1013904223;
        c = static_cast<char>(state >> 24);
    }
    return bundle;
}

/// A cluster's signing authority with its signer, and the card of worker-1 that believes it.
struct World {
    Certificate root = issue(authority_wish("bundle authority"));
    Certificate signer = issue(signer_wish(), &root);
    Trust trust{cluster_id, "worker-1", "worker", {root.der}, {}};
    std::string content = encode(worker_bundle());

    [[nodiscard]] std::string sealed(const Bundle& bundle) const { return message(good_seal(encode(bundle), signer)); }
    [[nodiscard]] std::string sealed() const { return message(good_seal(content, signer)); }
};

}  // namespace makina::forge
