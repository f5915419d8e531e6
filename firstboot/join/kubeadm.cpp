#include "firstboot/join/kubeadm.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"
#include "firstboot/join/leftovers.hpp"
#include "firstboot/join/own_file.hpp"
#include "firstboot/join/standing.hpp"
#include "firstboot/join/unit.hpp"
#include "firstboot/placing.hpp"
#include "firstboot/text.hpp"

namespace makina {
namespace {

using Step = KubeadmRecord::Step;

constexpr std::string_view first_line = "makina-kubeadm 1";
constexpr std::size_t largest = std::size_t{256} << 10;
/// kubeadm itself gives the control plane ten minutes, which SD cards and a first pull of images need.
constexpr unsigned patience = 1500;
constexpr const char* kubelet_conf = "/etc/kubernetes/kubelet.conf";
/// As init.yaml and join.yaml have it. A reset that is not told looks for a socket, and without one asks Docker, which
/// leaves the pods running: kubeadm 1.20, cmd/kubeadm/app/util/runtime.
constexpr const char* runtime = "--cri-socket=unix:///run/containerd/containerd.sock";
constexpr const char* discovery = "/etc/kubernetes/makina/discovery.conf";

const Access root_only = {0600, "root", "root"};

constexpr auto names = std::to_array<std::pair<Step, std::string_view>>(
    {{Step::init, "init"}, {Step::manifests, "manifests"}, {Step::join, "join"}, {Step::finished, "finished"}});

std::string base64_of(Host& host, const std::string& path) {
    const auto text = host.read(path, largest);
    if (!text) throw Error(path + " is not there");
    return to_base64(*text);
}

/// A kubeconfig with everything in it: kubeadm makes the kubelet's first one of it.
std::string kubeconfig(Host& host, const Credentials& identity, const ApiServer& server) {
    return "apiVersion: v1\nkind: Config\nclusters:\n  - name: cluster\n    cluster:\n      server: https://" +
           to_string(server) + "\n      certificate-authority-data: " + base64_of(host, identity.authority) +
           "\nusers:\n  - name: node\n    user:\n      client-certificate-data: " +
           base64_of(host, identity.certificate) + "\n      client-key-data: " + base64_of(host, identity.key) +
           "\ncontexts:\n  - name: node\n    context:\n      cluster: cluster\n      user: node\n"
           "current-context: node\n";
}

/// What kubeadm complained of, in one line: the first thing that its checks found, else its own words, else its last.
std::string complaint(const Answer& answer) {
    for (const std::string_view word : {"[ERROR ", "error execution phase "}) {
        for (const std::string_view line : lines_of(answer.errors)) {
            if (const auto at = line.find(word); at != std::string_view::npos) return std::string(line.substr(at));
        }
    }
    // It ends with an advice to programmers.
    const std::string last = last_line(answer.errors.substr(0, answer.errors.rfind("To see the stack trace of this")));
    return last.empty() ? "exit code " + std::to_string(answer.status) : last;
}

}  // namespace

std::string encode(const KubeadmRecord& record) {
    const auto* const found = std::ranges::find(names, record.step, &std::pair<Step, std::string_view>::first);
    if (found == names.end()) throw Error("nothing was begun: that is no record");
    return std::string(first_line) + "\nstep " + std::string(found->second) + "\nend\n";
}

KubeadmRecord decode_kubeadm_record(std::string_view text) {
    Lines lines(text);
    lines.expect(first_line);
    const std::string_view word = lines.value("step");
    const auto* const found = std::ranges::find(names, word, &std::pair<Step, std::string_view>::second);
    if (found == names.end()) lines.refuse("the step is none that is known");
    lines.expect("end");
    if (!lines.rest().empty()) lines.refuse("something after the end");
    return {found->first};
}

KubeadmRecord kubeadm_record(Host& host) {
    const auto text = host.read(KubeadmRecord::path, 4096);
    return text ? reading_own(KubeadmRecord::path, [&] { return decode_kubeadm_record(*text); }) : KubeadmRecord{};
}

void note(Host& host, KubeadmRecord::Step step) {
    if (kubeadm_record(host).step != step) host.write(KubeadmRecord::path, encode(KubeadmRecord{step}), root_only);
}

void run_kubeadm(Host& host, std::vector<std::string> arguments) {
    const std::string words = "kubeadm " + arguments.at(0);
    arguments.insert(arguments.begin(), "kubeadm");
    const Answer answer = host.run(arguments, patience);
    if (answer.status != 0) throw Error(words + ": " + complaint(answer));
    // What is noted next says that this is there.
    keep_kubernetes_files(host);
}

void run_join(Host& host, const Credentials& identity, const ApiServer& server, const std::vector<std::string>& phase) {
    host.write(discovery, kubeconfig(host, identity, server), root_only);
    std::vector<std::string> arguments = {"join"};
    arguments.insert(arguments.end(), phase.begin(), phase.end());
    arguments.insert(arguments.end(), {"--config", "/etc/kubernetes/makina/join.yaml"});
    run_kubeadm(host, std::move(arguments));
}

void undo_join(Host& host, const Bundle& bundle) {
    run_kubeadm(host, {"reset", "--force", runtime, "--skip-phases=remove-etcd-member"});
    place(host, bundle);
}

Outcome settle(Host& host, const Bundle& bundle, const Credentials& identity, const ApiServer& server,
               const KubernetesApi::NodeFacts& facts) {
    if (Outcome newest = is_newest_card(facts, bundle); !newest.done) return newest;
    keep_kubernetes_files(host);
    const std::string epoch = std::string(KubernetesApi::epoch_annotation) + "=" + std::to_string(bundle.epoch);
    host.write(discovery, kubeconfig(host, identity, server), root_only);
    const Answer answer =
        host.run({"kubectl", "--kubeconfig", discovery, "annotate", "--overwrite", "node", bundle.node, epoch}, 60);
    if (answer.status != 0) throw Error("kubectl annotate node " + bundle.node + ": " + last_line(answer.errors));
    host.wipe(discovery);
    std::string text = host.read(kubelet_conf, largest).value_or("");
    const std::string wanted = "server: https://" + bundle.api;
    // kubeadm since 1.33 lets a control plane's kubelet speak to its own API server, which is of its own version.
    const std::string at_home = "server: https://" + own_address(bundle) + ":";
    const std::size_t at = text.find("server: ");
    if (at == std::string::npos || bundle.api.empty() || text.compare(at, at_home.size(), at_home) == 0) return {true};
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (text.compare(at, end - at, wanted) == 0) return {true};
    text.replace(at, end - at, wanted);
    host.write(kubelet_conf, text, root_only);
    const Answer restarted = host.run({"systemctl", "restart", "kubelet"}, 120);
    if (restarted.status != 0) throw Error("systemctl restart kubelet: exit code " + std::to_string(restarted.status));
    return {true};
}

Outcome is_newest_card(const KubernetesApi::NodeFacts& facts, const Bundle& bundle) {
    std::uint64_t epoch = 0;
    if (!read_number(facts.epoch, epoch) || epoch <= bundle.epoch) return {true};
    return {false, "a newer card: the cluster knows epoch " + facts.epoch + " of " + bundle.node + ", this one has " +
                       std::to_string(bundle.epoch)};
}

Outcome place_is_free(const KubernetesApi::NodeFacts& facts, const Bundle& bundle) {
    if (facts.ready) {
        return {false,
                "the cluster to miss " + bundle.node + ", which it says is Ready: another machine of this name?",
                {},
                5};
    }
    return is_newest_card(facts, bundle);
}

Outcome has_kubelet(Host& host, const std::string& waiting_for) {
    if (!has_kubelet_files(host)) return {false, waiting_for};
    const Step step = kubeadm_record(host).step;
    if (step != Step::none && step != Step::finished) return {false, "kubeadm to come to its end", {}, 1};
    return running(host, "kubelet");
}

}  // namespace makina
