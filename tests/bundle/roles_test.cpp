#include <gtest/gtest.h>

#include "builder/commands/recipient.hpp"
#include "firstboot/bundle/payload.hpp"
#include "tests/bundle/scan.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/figures.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using Names = std::set<std::string>;

/// One kind of node: which payloads its bundle has, and which secrets of the keys' folder may lie in it.
struct Subject {
    std::string name;
    Profile profile;
    std::string node;
    Names payloads;
    Names secrets;
};

Profile with(Profile profile, Pki pki) {
    profile.pki = pki;
    return profile;
}

Names plus(Names names, const Names& more) {
    names.insert(more.begin(), more.end());
    return names;
}

const std::vector<Subject>& subjects() {
    static const std::vector<Subject> all = [] {
        const Names every = {"makina-ca.crt", "node.crt", "node.key", "trust"};
        const Names control_plane = plus(every, {"kubernetes-ca.crt", "front-proxy-ca.crt", "etcd-ca.crt",
                                                 "service-account.key", "service-account.pub", "encryption.yaml"});
        const Names authorities = {"kubernetes-ca.key", "front-proxy-ca.key"};
        const Names client = {"etcd-client.crt", "etcd-client.key"};
        const Names kubelet = {"kubelet.crt", "kubelet.key"};
        const Names check = {"etcd-healthcheck-client.crt", "etcd-healthcheck-client.key"};
        const Names online = plus(plus(control_plane, authorities), kubelet);
        const Names stacked = plus(plus(online, check), {"etcd-ca.key"});
        const Names leaves = plus(
            client, {"apiserver.crt", "apiserver.key", "apiserver-kubelet-client.crt", "apiserver-kubelet-client.key",
                     "front-proxy-client.crt", "front-proxy-client.key", "admin.conf", "super-admin.conf",
                     "kubelet.conf", "controller-manager.conf", "scheduler.conf"});
        const Names member = {"etcd-server.crt", "etcd-server.key", "etcd-peer.crt", "etcd-peer.key"};
        const Names shared = {"service-account.key", "encryption.key"};
        const Names signs = plus(shared, authorities);
        return std::vector<Subject>{
            {"control-plane", clusters::pair(), "master-1", stacked, plus(signs, {"etcd-ca.key"})},
            {"control-plane, external etcd", clusters::external_etcd(), "master-1", plus(online, client), signs},
            {"control-plane, static balancer", clusters::static_pods(), "master-1",
             plus(stacked, {"haproxy.cfg", "haproxy.yaml", "keepalived.conf", "keepalived.yaml"}),
             plus(signs, {"etcd-ca.key"})},
            {"control-plane, offline", with(clusters::pair(), Pki::offline), "master-1",
             plus(plus(plus(control_plane, leaves), member), check), shared},
            {"control-plane, offline, external etcd", with(clusters::external_etcd(), Pki::offline), "master-1",
             plus(control_plane, leaves), shared},
            {"worker",
             clusters::pair(),
             "worker-1",
             plus(every, {"kubernetes-ca.crt", "kubelet.crt", "kubelet.key"}),
             {}},
            {"worker, offline",
             with(clusters::pair(), Pki::offline),
             "worker-1",
             plus(every, {"kubernetes-ca.crt", "kubelet.crt", "kubelet.key"}),
             {}},
            {"etcd", clusters::external_etcd(), "etcd-1", plus(plus(every, member), {"etcd-ca.crt"}), {}},
            {"load-balancer", clusters::pair(), "lb-1", plus(every, {"haproxy.cfg", "keepalived.conf"}), {}},
            {"gateway", clusters::pair(), "gateway-1", every, {}}};
    }();
    return all;
}

class Roles : public testing::TestWithParam<std::size_t> {
  protected:
    [[nodiscard]] const Subject& subject() const { return subjects().at(GetParam()); }
    [[nodiscard]] Issued issue() {
        const Profile& profile = subject().profile;
        Keys::create(scratch_ / "keys", profile.name, "", keyrings::now);
        Keys keys(scratch_ / "keys", profile.name, "");
        return keys.issue(recipient_of(profile, *profile.find(subject().node)), true, keyrings::now, keyrings::year,
                          "test");
    }
    static void TearDownTestSuite() {
        figures::count("bundle_kinds_scanned", scanned_);
        figures::count("secret_forms_looked_for", forms_);
        figures::count("secrets_where_they_must_not_be", misplaced_);
    }

    Scratch scratch_;
    static inline int scanned_ = 0;
    static inline int forms_ = 0;
    static inline int misplaced_ = 0;
};

TEST_P(Roles, CarryTheLeastThatTheyNeed) {
    const Issued issued = issue();
    const Bundle bundle = open_sealed(issued.sealed, decode_trust(issued.trust)).bundle;
    Names names;
    for (const Payload& payload : bundle.payloads) {
        names.insert(payload.name);
        EXPECT_FALSE(payload.content.empty()) << payload.name;
        EXPECT_NE(payload_kind(bundle.role, payload.name), nullptr) << payload.name;
    }
    EXPECT_EQ(names, subject().payloads);
    EXPECT_EQ(bundle.address, to_string(subject().profile.find(subject().node)->address) + "/24");
}

TEST_P(Roles, HaveNoSecretOfTheFolderThatIsNotTheirs) {
    const Issued issued = issue();
    const std::vector<scan::Form> forms = scan::forms_of(scratch_ / "keys");
    const Names found = scan::keys_of(scan::found_in(issued.sealed, forms));
    for (const std::string& key : found) misplaced_ += subject().secrets.count(key) == 0 ? 1 : 0;
    forms_ += static_cast<int>(forms.size());
    ++scanned_;
    // Those that must be there are the control of the scan.
    EXPECT_EQ(found, subject().secrets);
    EXPECT_TRUE(scan::found_in(issued.trust, forms).empty());
}

INSTANTIATE_TEST_SUITE_P(Every, Roles, testing::Range(std::size_t{0}, subjects().size()), [](const auto& row) {
    std::string name = subjects().at(row.param).name;
    name.erase(std::remove_if(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }),
               name.end());
    return name;
});

TEST(Scan, FindsEveryFormOfEverySecret) {
    const Scratch scratch;
    Keys::create(scratch / "keys", "makina", "", keyrings::now);
    const std::vector<scan::Form> forms = scan::forms_of(scratch / "keys");
    EXPECT_EQ(scan::keys_of(forms),
              (Names{"encryption.key", "etcd-ca.key", "front-proxy-ca.key", "kubernetes-ca.key", "makina-ca.key",
                     "service-account.key", "signing-1/ca.key", "signing-1/signer.key"}));
    for (const scan::Form& form : forms) {
        EXPECT_GE(form.bytes.size(), 8U) << form.key << " " << form.how;
        const auto found = scan::found_in("before" + form.bytes + "after", {form});
        EXPECT_EQ(found.size(), 1U);
    }
    const Material material(scratch / "keys", "");
    const std::string scalar = scan::private_number(material.key("etcd-ca"));
    const std::string pem = slurp(scratch / "keys/etcd-ca.key");
    const std::vector<std::string> hidden = {
        "x" + scalar + "y",       to_hex("ab" + scalar), to_base64("a" + scalar + "bc"),
        to_base64("ab" + scalar), to_base64(scalar),     "key: " + pem,
        to_base64(pem),           to_base64("\n" + pem), to_base64("ab" + pem)};
    for (const std::string& text : hidden) {
        EXPECT_EQ(scan::keys_of(scan::found_in(text, forms)), Names{"etcd-ca.key"}) << text;
    }
    EXPECT_TRUE(scan::found_in(slurp(scratch / "keys/etcd-ca.crt"), forms).empty());
}

}  // namespace
}  // namespace makina
