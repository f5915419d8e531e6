#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "firstboot/bundle/bundle.hpp"
#include "firstboot/host.hpp"

namespace makina {

/// Where an API server of the cluster answers.
struct ApiServer {
    std::string address;  ///< IPv4
    std::uint16_t port = 0;
    bool operator==(const ApiServer&) const = default;
};
/// "192.168.3.240:9000".
[[nodiscard]] std::string to_string(const ApiServer& server);

/// The Kubernetes API as a node needs it before it has joined: by TLS with the node's own certificate, believing the
/// cluster's own authority alone.
class KubernetesApi {
  public:
    KubernetesApi(Host& host, Credentials tls) : host_(host), tls_(std::move(tls)) {}

    /// Who answers and is ready: the balancers' address first, then the control planes themselves.
    struct Found {
        std::optional<ApiServer> server;
        std::string faults;  ///< if nobody does, who was asked and what came of it: for people
    };
    /// Takes so many milliseconds at the most; on a network where nobody has an address yet, that is what it takes.
    [[nodiscard]] Found find(const Bundle& bundle, std::uint32_t milliseconds = patience);
    /// True if the API server of this address is ready.
    [[nodiscard]] bool is_ready(const ApiServer& server);

    /// What the cluster knows of a node.
    struct NodeFacts {
        bool exists = false;
        bool ready = false;
        std::string epoch;  ///< what the annotation `epoch_annotation` says
    };
    /// Throws Error if the server does not answer as one.
    [[nodiscard]] NodeFacts node(const ApiServer& server, const std::string& name);

    /// A server on a slow board that is busy answers within so many milliseconds.
    static constexpr std::uint32_t patience = 4000;
    /// Where a Node remembers the newest card of its node.
    static constexpr const char* epoch_annotation = "makina-epoch";

  private:
    [[nodiscard]] Request request(const ApiServer& server, const std::string& target) const;

    Host& host_;
    Credentials tls_;
};

}  // namespace makina
