#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>
#include <memory>

#include "builder/pki/certificate.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "tests/kubernetes/by_hand.hpp"
#include "tests/unit/figures.hpp"
#include "tests/unit/scratch.hpp"

// What a worker's card lets whoever has it do in its cluster, and how long: asked of the real API server.
namespace makina::kubernetes {
namespace {

using figures::count;
using Json = nlohmann::json;

using ::testing::HasSubstr;

constexpr std::int64_t a_day = 86400;
constexpr std::int64_t eleven_months = 335 * a_day;
constexpr double patience = 300;

/// As few nodes as there are with one that others could be taken for.
Profile four_machines() {
    Profile profile = seven_machines();
    std::erase_if(profile.nodes, [](const Node& node) {
        return node.name == "lb-2" || node.name == "master-2" || node.name == "master-3";
    });
    return profile;
}

/// A certificate and its key where curl finds them on a machine.
struct Identity {
    std::string certificate, key;
};

/// What the API server said.
struct Said {
    int status = 0;
    Json answer;
    [[nodiscard]] std::string message() const { return answer.is_object() ? answer.value("message", "") : ""; }
};

/// A request that is none of the card's business.
struct Attempt {
    const char* what;
    const char* verb;
    std::string path;
    Json body = nullptr;
    const char* kind = "application/json";
    std::string header = "Accept: application/json";
};

constexpr const char* merge = "application/merge-patch+json";
constexpr const char* nodes = "/api/v1/nodes";
constexpr const char* csrs = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
constexpr const char* leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
constexpr const char* pods = "/api/v1/namespaces/default/pods";
constexpr const char* secrets = "/api/v1/namespaces/default/secrets";
const std::string roles = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";

Json named(const std::string& name) {
    return {{"metadata", {{"name", name}}}};
}

Json labelled(const std::string& label) {
    return {{"metadata", {{"labels", {{label, ""}}}}}};
}

/// A pod that is bound to a node, and reads a secret.
Json pod_on(const std::string& node, const std::string& name, const std::string& secret) {
    Json pod = named(name);
    pod["spec"] = {{"nodeName", node},
                   {"containers", {{{"name", "one"}, {"image", "lab"}}}},
                   {"volumes", {{{"name", "it"}, {"secret", {{"secretName", secret}}}}}}};
    return pod;
}

/// worker-1's card has lain for eleven months; worker-2 is the one that it could be taken for.
class WorkersCard : public ::testing::Test {
  protected:
    static void SetUpTestSuite() {
        if (!why_not().empty()) return;
        cluster = std::make_unique<Cluster>(four_machines(), lab::workshop() / "identity", programs(),
                                            eleven_months + 60 * a_day);
        for (const Node& node : cluster->lab().profile().nodes) {
            cluster->lab().let_cards_lie(node.name == "worker-1" ? eleven_months : 0);
            cluster->new_card(node.name);
        }
        authority = kubernetes_authority(bundle_on(cluster->machine("master-1")));
        stolen = bundle_on(cluster->machine("worker-1"));
        for (const Node& node : cluster->lab().profile().nodes) cluster->boot(node.name);
        late = cluster->wait_until_joined({"master-1", "worker-1", "worker-2"}, patience, [](const std::string&) {});
    }
    static void TearDownTestSuite() { cluster.reset(); }

    void SetUp() override {
        if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
        ASSERT_TRUE(late.empty()) << cluster->story(late);
        card = identity("card", payload_of(stolen, "kubelet.crt"), payload_of(stolen, "kubelet.key"));
        admin = identity("admin", Holder{"lab", "system:masters", {}, {}});
    }

    /// The files of a certificate on the machine from which everything is asked.
    static Identity identity(const std::string& name, const std::string& certificate, const std::string& key) {
        Identity made = {"/run/" + name + ".crt", "/run/" + name + ".key"};
        put(asking().file(made.certificate), certificate, 0644);
        put(asking().file(made.key), key, 0600);
        return made;
    }
    static Identity identity(const std::string& name, const Holder& holder) {
        const Credential own = make_leaf(holder, Usage::client, authority, std::time(nullptr), a_day);
        return identity(name, to_pem(own.certificate), private_pem(own.key, ""));
    }
    static lab::Machine& asking() { return cluster->machine("master-1"); }

    static Said ask(const Identity& as, const Attempt& attempt) {
        std::vector<std::string> argv = {"curl",
                                         "--silent",
                                         "--max-time",
                                         "20",
                                         "--cacert",
                                         "/etc/kubernetes/pki/ca.crt",
                                         "--cert",
                                         as.certificate,
                                         "--key",
                                         as.key,
                                         "--request",
                                         attempt.verb,
                                         "--header",
                                         std::string("Content-Type: ") + attempt.kind,
                                         "--header",
                                         attempt.header,
                                         "--write-out",
                                         "\n%{http_code}",
                                         "https://" + stolen.api + attempt.path};
        if (!attempt.body.is_null()) argv.insert(argv.end(), {"--data", attempt.body.dump()});
        const std::string said = asking().run(argv).output;
        const std::size_t end = said.rfind('\n');
        if (end == std::string::npos) return {};
        return {std::stoi(said.substr(end + 1)), Json::parse(said.substr(0, end), nullptr, false)};
    }

    /// Asks for a certificate, with a new key.
    static Said ask_to_sign(const Identity& as, const std::string& name, const std::string& subject,
                            const std::string& signer = "kubernetes.io/kube-apiserver-client-kubelet") {
        asking().run_checked({"openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                              "-nodes", "-subj", subject, "-keyout", "/run/" + name + ".key", "-out",
                              "/run/" + name + ".csr"});
        Json body = named(name);
        body["spec"] = {{"request", to_base64(slurp(asking().file("/run/" + name + ".csr")))},
                        {"signerName", signer},
                        {"usages", {"digital signature", "key encipherment", "client auth"}}};
        return ask(as, {"", "POST", csrs, body});
    }
    static Json status_of_request(const std::string& name) {
        const Said said = ask(admin, {"", "GET", std::string(csrs) + "/" + name});
        EXPECT_EQ(said.status, 200) << said.message();
        return said.answer.is_object() ? said.answer.value("status", Json::object()) : Json::object();
    }
    /// The certificate that the cluster has signed of its own accord; empty if it has not.
    static std::string signed_certificate(const std::string& name) {
        std::string pem;
        (void)lab::becomes_true(30, [&] {
            pem = from_base64(status_of_request(name).value("certificate", ""));
            return !pem.empty();
        });
        return pem;
    }

    static std::unique_ptr<Cluster> cluster;
    static std::vector<std::string> late;
    static Credential authority;
    static Bundle stolen;
    static Identity card, admin;
};

std::unique_ptr<Cluster> WorkersCard::cluster;
std::vector<std::string> WorkersCard::late;
Credential WorkersCard::authority;
Bundle WorkersCard::stolen;
Identity WorkersCard::card, WorkersCard::admin;

TEST_F(WorkersCard, WrittenElevenMonthsAgoRegistersItsNode) {
    EXPECT_LE(stolen.issued, std::time(nullptr) - eleven_months);
    EXPECT_THAT(cluster->ready_nodes("master-1"), ::testing::ElementsAre("master-1", "worker-1", "worker-2"));
}

TEST_F(WorkersCard, ActsAsNoOtherNode) {
    // What there is to be taken: a pod with a secret on each worker.
    for (const std::string& node : workers) {
        ASSERT_EQ(ask(admin, {"", "POST", secrets, named("of-" + node)}).status, 201);
        const auto made = [&] {
            return ask(admin, {"", "POST", pods, pod_on(node, "on-" + node, "of-" + node)}).status;
        };
        // The account that pods have by themselves is made some time after the cluster.
        ASSERT_TRUE(lab::becomes_true(30, [&] { return made() == 201; })) << node;
    }
    ASSERT_EQ(ask_to_sign(card, "another", "/O=system:nodes/CN=system:node:worker-2").status, 201);

    const std::string other = std::string(nodes) + "/worker-2";
    const std::string own = std::string(nodes) + "/worker-1";
    const std::string request = std::string(csrs) + "/another";
    Json approval = status_of_request("another");
    approval = ask(admin, {"", "GET", request}).answer;
    approval["status"] = {{"conditions", {{{"type", "Approved"}, {"status", "True"}, {"reason", "lab"}}}}};
    Json certificate = approval;
    certificate["status"] = {{"certificate", to_base64(payload_of(stolen, "kubelet.crt"))}};
    Json token = named("bootstrap-token-abcdef");
    token["type"] = "bootstrap.kubernetes.io/token";
    Json administrator = named("lab");
    administrator["roleRef"] = {
        {"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", "cluster-admin"}};
    administrator["subjects"] = {
        {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "User"}, {"name", "system:node:worker-1"}}};
    Json mirror = pod_on("worker-2", "mirror", "of-worker-2");
    mirror["spec"].erase("volumes");
    mirror["metadata"]["annotations"] = {{"kubernetes.io/config.mirror", "lab"}};
    const Json ready = {{"status", {{"conditions", {{{"type", "Ready"}, {"status", "False"}}}}}}};
    const Json untainted = {{"spec", {{"taints", {{{"key", "lab"}, {"effect", "NoExecute"}}}}}}};
    const Json expired = {{"spec", {{"renewTime", "2000-01-01T00:00:00.000000Z"}}}};

    const std::vector<Attempt> attempts = {
        {"a Node of a name that is free", "POST", nodes, named("worker-9")},
        {"a Node of a name that is taken", "POST", nodes, named("worker-2")},
        {"another Node in its place", "PUT", other, named("worker-2")},
        {"a label of another Node", "PATCH", other, labelled("example.org/lab"), merge},
        {"another Node's taints", "PATCH", other, untainted, merge},
        {"another Node's status", "PATCH", other + "/status", ready, merge},
        {"another Node's removal", "DELETE", other},
        {"a control plane's Node", "PATCH", std::string(nodes) + "/master-1", labelled("example.org/lab"), merge},
        {"a control plane's removal", "DELETE", std::string(nodes) + "/master-1"},
        {"its own removal", "DELETE", own},
        {"the label of a control plane", "PATCH", own, labelled("node-role.kubernetes.io/control-plane"), merge},
        {"a label that is kept from nodes", "PATCH", own, labelled("node-restriction.kubernetes.io/lab"), merge},
        {"other taints", "PATCH", own, untainted, merge},
        {"another Node's lease", "PATCH", std::string(leases) + "/worker-2", expired, merge},
        {"the removal of another Node's lease", "DELETE", std::string(leases) + "/worker-2"},
        {"a secret of another node's pod", "GET", std::string(secrets) + "/of-worker-2"},
        {"all secrets", "GET", "/api/v1/secrets"},
        {"the secrets of the system", "GET", "/api/v1/namespaces/kube-system/secrets"},
        {"a token that brings nodes in", "POST", "/api/v1/namespaces/kube-system/secrets", token},
        {"a pod on another node", "POST", pods, mirror},
        {"the removal of another node's pod", "DELETE", std::string(pods) + "/on-worker-2"},
        {"the status of another node's pod",
         "PATCH",
         std::string(pods) + "/on-worker-2/status",
         {{"status", {{"phase", "Failed"}}}},
         merge},
        {"a token of an account",
         "POST",
         "/api/v1/namespaces/default/serviceaccounts/default/token",
         {{"spec", {{"audiences", Json::array()}}}}},
        {"to pass for another node", "GET", nodes, nullptr, "application/json",
         "Impersonate-User: system:node:worker-2"},
        {"to pass for an administrator", "GET", "/api/v1/secrets", nullptr, "application/json",
         "Impersonate-User: kubernetes-admin"},
        {"every right", "POST", roles, administrator},
        {"to approve the other node's certificate", "PUT", request + "/approval", approval},
        {"to sign it", "PUT", request + "/status", certificate},
    };
    for (const Attempt& attempt : attempts) {
        const Said said = ask(card, attempt);
        count("identity_cases");
        count("identity_refused", said.status == 403 ? 1 : 0);
        EXPECT_EQ(said.status, 403) << attempt.what << ": " << said.message();
    }
    const Said masters_group =
        ask_to_sign(card, "administrator", "/O=system:masters/CN=lab", "kubernetes.io/kube-apiserver-client");
    count("identity_cases");
    count("identity_refused", masters_group.status == 403 ? 1 : 0);
    EXPECT_EQ(masters_group.status, 403) << masters_group.message();

    // What was asked for later in its own name is approved and signed by the cluster itself, and that was not.
    ASSERT_EQ(ask_to_sign(card, "own", "/O=system:nodes/CN=system:node:worker-1").status, 201);
    EXPECT_NE(signed_certificate("own"), "");
    const Json unsigned_one = status_of_request("another");
    count("identity_cases");
    count("identity_refused", unsigned_one.empty() ? 1 : 0);
    EXPECT_TRUE(unsigned_one.empty()) << unsigned_one.dump();
    EXPECT_THAT(cluster->ready_nodes("master-1"), ::testing::ElementsAre("master-1", "worker-1", "worker-2"));
}

TEST_F(WorkersCard, IsGoodForItsOwnNode) {
    const std::string own = std::string(nodes) + "/worker-1";
    EXPECT_EQ(ask(card, {"", "PATCH", own, labelled("example.org/lab"), merge}).status, 200);
    EXPECT_EQ(ask(card, {"", "GET", std::string(leases) + "/worker-1"}).status, 200);
    Json pod = pod_on("worker-1", "reader", "read");
    ASSERT_EQ(ask(admin, {"", "POST", secrets, named("read")}).status, 201);
    ASSERT_TRUE(lab::becomes_true(30, [&] { return ask(admin, {"", "POST", pods, pod}).status == 201; }));
    const auto may_read = [&] { return ask(card, {"", "GET", std::string(secrets) + "/read"}).status == 200; };
    EXPECT_TRUE(lab::becomes_true(10, may_read));

    ASSERT_EQ(ask_to_sign(card, "renewed", "/O=system:nodes/CN=system:node:worker-1").status, 201);
    const std::string pem = signed_certificate("renewed");
    ASSERT_NE(pem, "");
    const Identity renewed = identity("renewed", pem, slurp(asking().file("/run/renewed.key")));
    EXPECT_EQ(ask(renewed, {"", "PATCH", own, labelled("example.org/renewed"), merge}).status, 200);
}

/// Starts the real kubelet with the node's own files. It soon ends without cgroups and a container runtime, but looks
/// after its certificate from the moment when it begins: the authority of clients, which it reads once before that and
/// once after, is a pipe that nobody fills a second time.
void start_real_kubelet(const lab::Machine& machine) {
    std::string config = slurp(machine.file("/var/lib/kubelet/config.yaml"));
    const std::string authority = "/etc/kubernetes/pki/ca.crt";
    const std::size_t at = config.find(authority);
    ASSERT_NE(at, std::string::npos) << config;
    put(machine.file("/run/held.yaml"), config.replace(at, authority.size(), "/run/held"), 0644);
    machine.run_checked({"mkfifo", "/run/held"});
    machine.start(machine.inside({"cp", authority, "/run/held"}), "real-kubelet");
    machine.start(machine.inside({"/usr/lib/kubernetes/kubelet", "--kubeconfig=/etc/kubernetes/kubelet.conf",
                                  "--config=/run/held.yaml", "--hostname-override=" + machine.name()}),
                  "real-kubelet");
}

/// As kubeadm has set it up, and with the certificate that the cluster gave it when its node joined.
TEST_F(WorkersCard, GaveItsKubeletACertificateThatItRenewsByItself) {
    const lab::Machine& machine = cluster->machine("worker-1");
    const std::string current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    EXPECT_THAT(slurp(machine.file("/etc/kubernetes/kubelet.conf")), HasSubstr(current));
    EXPECT_THAT(slurp(machine.file("/var/lib/kubelet/config.yaml")), HasSubstr("rotateCertificates: true"));
    // A link, which is another one for whoever is not on the machine.
    const auto in_use = [&] { return machine.run_checked({"cat", current}); };
    EXPECT_GT(not_after(certificate_from_pem(in_use())), std::time(nullptr) + 300 * a_day);

    // Eleven months later.
    const Credential old = make_leaf({"system:node:worker-1", "system:nodes", {}, {}}, Usage::client, authority,
                                     std::time(nullptr) - eleven_months, 365 * a_day);
    const std::string earlier = to_pem(old.certificate) + private_pem(old.key, "");
    put(machine.file("/run/earlier.pem"), earlier, 0600);
    machine.run_checked({"cp", "/run/earlier.pem", current});
    ASSERT_NO_FATAL_FAILURE(start_real_kubelet(machine));
    ASSERT_TRUE(lab::becomes_true(60, [&] { return in_use() != earlier; })) << machine.log("real-kubelet");
    const std::string pem = in_use();
    EXPECT_GT(not_after(certificate_from_pem(pem)), std::time(nullptr) + 300 * a_day);
    const Identity own = identity("rotated", pem, pem);
    EXPECT_EQ(ask(own, {"", "GET", std::string(leases) + "/worker-1"}).status, 200);
    EXPECT_EQ(ask(own, {"", "DELETE", std::string(leases) + "/worker-2"}).status, 403);
}

}  // namespace
}  // namespace makina::kubernetes
