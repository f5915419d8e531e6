#include "firstboot/join/balancer.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/payload.hpp"
#include "firstboot/join/unit.hpp"

namespace makina {
namespace {

/// One of the two servers, and how it is spoken to.
struct Server {
    std::string name;     ///< of its unit
    std::string payload;  ///< its configuration
    bool (*refuses)(const Answer& check);
    /// What the configuration says with which the process runs: all of it, or a name for it.
    std::string (*told)(Host& host);
    /// What it will say when it runs with this one; empty if this one, a person's own, lets it say nothing.
    std::string (*tells)(const std::string& configuration);
    std::vector<std::string> check;  ///< argv, before the file's name
};

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

/// The first thing that a program complains of; haproxy says before it which haproxy it is.
std::string complaint(const Answer& answer) {
    std::string_view rest = answer.errors;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        if (!line.empty() && line.find("[NOTICE]") == std::string_view::npos) return std::string(line);
        rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    }
    return "exit code " + std::to_string(answer.status);
}

bool refuses(const Answer& check) {
    return check.status != 0;
}

/// keepalived 2.2.7, where scripts run as a user of their own, ends itself with SIGTERM after a check that found
/// nothing; what it finds it says.
bool keepalived_refuses(const Answer& check) {
    constexpr int terminated = 128 + 15;
    return check.status != 0 && (check.status != terminated || !check.errors.empty());
}

std::string haproxy_told(Host& host) {
    const Response response = host.fetch({{"127.0.0.1", 8404, "/configuration"}}).at(0);
    return response.status == 200 ? response.body : std::string();
}

std::string haproxy_tells(const std::string& configuration) {
    return configuration.find("path /configuration") == std::string::npos ? std::string() : configuration;
}

/// Its second process speaks with the network and reads the configuration anew; 15 characters of its name are kept.
std::string keepalived_told(Host& host) {
    const std::string process = first_line(host.read("/run/vrrp.pid", 64).value_or(""));
    const bool number = !process.empty() && process.find_first_not_of("0123456789") == std::string::npos;
    return number ? first_line(host.read("/proc/" + process + "/comm", 4096).value_or("")) : std::string();
}

std::string keepalived_tells(const std::string& configuration) {
    const std::string word = "vrrp_process_name ";
    const auto at = configuration.find(word);
    return at == std::string::npos ? std::string() : first_line(configuration.substr(at + word.size()));
}

/// haproxy first: keepalived asks it.
const std::array<Server, 2>& servers() {
    static const std::array<Server, 2> both = {
        Server{"haproxy", "haproxy.cfg", refuses, haproxy_told, haproxy_tells, {"haproxy", "-c", "-f"}},
        Server{"keepalived",
               "keepalived.conf",
               keepalived_refuses,
               keepalived_told,
               keepalived_tells,
               {"keepalived", "--config-test", "--use-file"}}};
    return both;
}

const PayloadKind& kind_of(const Server& server) {
    const PayloadKind* const kind = payload_kind("load-balancer", server.payload);
    if (kind == nullptr) throw Error("a load-balancer has no payload \"" + server.payload + "\"");
    return *kind;
}

/// The configuration that the bundle carries, or nullptr.
const std::string* wanted(const Bundle& bundle, const Server& server) {
    const auto found = std::ranges::find(bundle.payloads, server.payload, &Payload::name);
    return found == bundle.payloads.end() ? nullptr : &found->content;
}

bool has_file(Host& host, const Server& server, const std::string& configuration) {
    return host.read(std::string(kind_of(server).image_file), largest_payload) == configuration;
}

bool runs_with(Host& host, const Server& server, const std::string& configuration) {
    const std::string expected = server.tells(configuration);
    return expected.empty() || server.told(host) == expected;
}

Outcome state_of(Host& host, const Bundle& bundle, const Server& server) {
    const std::string* const configuration = wanted(bundle, server);
    if (configuration != nullptr && !has_file(host, server, *configuration)) {
        return {false, "the bundle's configuration of " + server.name};
    }
    Outcome outcome = running(host, server.name);
    if (!outcome.done || configuration == nullptr || runs_with(host, server, *configuration)) return outcome;
    return {false, server.name + " to run with " + std::string(kind_of(server).image_file)};
}

/// Makes what the keys stage has placed the server's own file.
void take_over(Host& host, const Server& server, const std::string& configuration) {
    const PayloadKind& kind = kind_of(server);
    std::vector<std::string> check = server.check;
    check.emplace_back(kind.path);
    const Answer answer = host.run(check, 60);
    if (server.refuses(answer)) {
        throw Error(server.name + " refuses " + std::string(kind.path) +
                    " and goes on with what it has: " + complaint(answer));
    }
    host.write(std::string(kind.image_file), configuration,
               {kind.mode, std::string(kind.owner), std::string(kind.owner)});
}

void do_server(Host& host, const Bundle& bundle, const Server& server) {
    const std::string* const configuration = wanted(bundle, server);
    if (configuration == nullptr) return;
    if (!has_file(host, server, *configuration)) {
        take_over(host, server, *configuration);
    } else if (!running(host, server.name).done || runs_with(host, server, *configuration)) {
        return;
    }
    const Answer answer = host.run({"systemctl", "reload-or-restart", server.name}, 120);
    if (answer.status != 0) throw Error("systemctl reload-or-restart " + server.name + ": " + complaint(answer));
}

}  // namespace

Outcome ask_balancer(Host& host, const Bundle& bundle) {
    for (const Server& server : servers()) {
        Outcome outcome = state_of(host, bundle, server);
        if (!outcome.done) return outcome;
    }
    return {true};
}

Outcome do_balancer(Host& host, const Bundle& bundle) {
    for (const Server& server : servers()) do_server(host, bundle, server);
    return ask_balancer(host, bundle);
}

}  // namespace makina
