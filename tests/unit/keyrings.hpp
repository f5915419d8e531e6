#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "builder/pki/pki.hpp"
#include "firstboot/bundle/sealed.hpp"

namespace makina::keyrings {

// 2025-10-09 08:53:20 UTC; certificates are good from a day before.
constexpr std::int64_t now = 1760000000;
constexpr std::int64_t year = 365 * 86400;

// A recipient as a plan decides it, in the cluster of clusters::pair().
inline Recipient recipient(const std::string& node, const std::string& role) {
    Recipient recipient;
    Bundle& header = recipient.header;
    header.cluster = "makina";
    header.node = node;
    header.role = role;
    header.architecture = "arm64";
    header.board = "rpi4";
    header.address = "192.168.3.251/24";
    header.api = "192.168.3.240:9000";
    const std::string founders = role == "etcd" ? "etcd-" : role == "control-plane" ? "master-" : "";
    for (const char* const number : {"1", "2", "3"}) {
        if (!founders.empty()) header.peers.push_back({founders + number, role, std::string("192.168.3.25") + number});
    }
    recipient.api_names = {"kubernetes",
                           "kubernetes.default",
                           "kubernetes.default.svc",
                           "kubernetes.default.svc.cluster.local",
                           "api.home.arpa",
                           node};
    recipient.admin_group = "kubeadm:cluster-admins";
    recipient.api_addresses = {"10.96.0.1", "192.168.3.240", "192.168.3.251"};
    return recipient;
}

inline Keys fresh(const std::filesystem::path& folder, const std::string& passphrase = "") {
    Keys::create(folder, "makina", passphrase, now);
    return Keys(folder, "makina", passphrase);
}

inline std::string payload(const Bundle& bundle, const std::string& name) {
    for (const Payload& payload : bundle.payloads) {
        if (payload.name == name) return payload.content;
    }
    return "";
}

/// The text of what `work` throws; "nothing" if it does not.
template <typename Work>
std::string words_of(Work&& work) {
    try {
        work();
    } catch (const std::exception& error) {
        return error.what();
    }
    return "nothing";
}

}  // namespace makina::keyrings
