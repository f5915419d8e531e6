#include "firstboot/join/standing.hpp"

#include <algorithm>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/join/genesis.hpp"
#include "firstboot/join/join.hpp"
#include "firstboot/join/own_file.hpp"

namespace makina {
namespace {

const Access root_only = {0600, "root", "root"};

Statement new_statement(Host& host, const Bundle& bundle) {
    Statement statement;
    statement.incarnation = to_hex(host.random(16));
    statement.cluster_id = bundle.cluster_id;
    return statement;
}

std::vector<Peer> with_role(const Bundle& bundle, const char* role) {
    std::vector<Peer> peers;
    std::copy_if(bundle.peers.begin(), bundle.peers.end(), std::back_inserter(peers),
                 [&](const Peer& peer) { return peer.role == role; });
    return peers;
}

bool is_founder(const Bundle& bundle) {
    const auto founders = founders_of(bundle);
    return std::any_of(founders.begin(), founders.end(), [&](const Peer& peer) { return peer.name == bundle.node; });
}

/// The newest that a founder says of its cluster; a restored one takes the place of that before.
void remember(Statement& own, const std::vector<Statement>& heard) {
    for (const Statement& statement : heard) {
        if (statement.decided.empty() || (!own.decided.empty() && !statement.member)) continue;
        own.decided = statement.decided;
        own.formation = statement.formation;
    }
}

}  // namespace

Credentials node_credentials() {
    return {"/etc/makina/pki/ca.crt", "/etc/makina/pki/node.crt", "/etc/makina/pki/node.key"};
}

bool has_node_credentials(Host& host) {
    const Credentials tls = node_credentials();
    return host.look(tls.authority) && host.look(tls.certificate) && host.look(tls.key);
}

std::vector<Peer> founders_of(const Bundle& bundle) {
    if (bundle.role == "control-plane") return with_role(bundle, "control-plane");
    auto founders = with_role(bundle, "etcd");
    return founders.empty() ? with_role(bundle, "control-plane") : founders;
}

bool is_stacked(const Bundle& bundle) {
    return with_role(bundle, "etcd").empty();
}

std::string own_address(const Bundle& bundle) {
    return bundle.address.substr(0, bundle.address.find('/'));
}

Statement own_statement(Host& host, const Bundle& bundle) {
    const auto text = host.read(statement_path, Statement::largest);
    Statement statement =
        text ? reading_own(statement_path, [&] { return decode_statement(*text); }) : new_statement(host, bundle);
    if (statement.cluster_id != bundle.cluster_id) throw Error(std::string(statement_path) + " is of another cluster");
    statement.node = bundle.node;
    statement.role = bundle.role;
    if (is_founder(bundle) && statement.decided.empty()) {
        statement.formation = bundle.genesis;
        statement.again = bundle.genesis_again;
    }
    return statement;
}

void state(Host& host, const Bundle& bundle, const Statement& statement) {
    const std::string text = encode(statement);
    if (host.read(statement_path, Statement::largest) != text) host.write(statement_path, text, root_only);
    host.answer_peers(own_address(bundle), node_credentials(), text);
}

Heard hear(Host& host, const Bundle& bundle, const std::vector<Peer>& peers) {
    std::vector<Peer> others;
    std::copy_if(peers.begin(), peers.end(), std::back_inserter(others),
                 [&](const Peer& peer) { return peer.name != bundle.node; });
    std::vector<Request> requests;
    for (const Peer& peer : others) {
        Request request;
        request.address = peer.address;
        request.port = peers_port;
        request.target = "/statement";
        request.tls = node_credentials();
        request.name = peer.name;
        request.largest = Statement::largest + 4096;
        requests.push_back(std::move(request));
    }
    const std::vector<Response> responses = host.fetch(requests);
    Heard heard;
    for (std::size_t at = 0; at < others.size(); ++at) {
        const Response& response = responses.at(at);
        std::string& fault = heard.faults[others[at].name];
        fault = response.status == 0 ? response.fault : "HTTP status " + std::to_string(response.status);
        if (response.status != 200) continue;
        try {
            Statement statement = decode_statement(response.body);
            fault = statement.cluster_id != bundle.cluster_id ? "it is of another cluster"
                    : statement.node != others[at].name       ? "it says that it is " + statement.node
                                                              : "";
            if (!fault.empty()) continue;
            heard.statements.push_back(std::move(statement));
            heard.faults.erase(others[at].name);
        } catch (const Untrusted& error) {
            fault = error.what();
        }
    }
    return heard;
}

void keep_statement(Host& host, const Bundle& bundle) {
    if (!has_node_credentials(host)) return;
    Statement own = own_statement(host, bundle);
    if (!is_founder(bundle)) remember(own, hear(host, bundle, founders_of(bundle)).statements);
    state(host, bundle, own);
}

}  // namespace makina
