#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "builder/pki/certificate.hpp"
#include "builder/pki/ledger.hpp"
#include "builder/pki/material.hpp"
#include "builder/pki/seal.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using keyrings::fresh;
using keyrings::now;
using keyrings::payload;
using keyrings::recipient;
using keyrings::words_of;
using keyrings::year;

/// What the openssl program says of a certificate. Everything is handed over in files.
std::string openssl(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {"openssl"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return run_checked({.argv = argv});
}

std::string extension(const std::filesystem::path& file, const std::string& name) {
    return openssl({"x509", "-in", file.string(), "-noout", "-ext", name});
}

class Issue : public testing::Test {
  protected:
    void SetUp() override {
        if (!have_program("openssl")) GTEST_SKIP() << "openssl is not installed: apt install openssl";
    }
    /// The bundle as the card opens it.
    Bundle issue(const Recipient& to) {
        Issued issued = keys_.issue(to, true, now, year, "test");
        return open_sealed(issued.sealed, decode_trust(issued.trust)).bundle;
    }
    /// Verifies a payload's certificate against the authority's, for a purpose, half a year later.
    std::filesystem::path verified(const Bundle& bundle, const std::string& name, const std::string& authority,
                                   const std::string& purpose) {
        auto file = scratch_.write(name, payload(bundle, name));
        EXPECT_EQ(openssl({"verify", "-x509_strict", "-purpose", purpose, "-attime", std::to_string(now + year / 2),
                           "-CAfile", (scratch_ / ("keys/" + authority + ".crt")).string(), file.string()}),
                  file.string() + ": OK\n");
        return file;
    }
    static std::string subject(const std::filesystem::path& file) {
        return openssl({"x509", "-in", file.string(), "-noout", "-subject", "-nameopt", "RFC2253"});
    }

    Scratch scratch_;
    Keys keys_ = fresh(scratch_ / "keys");
};

TEST_F(Issue, MakesAuthoritiesOfTwentyYearsThatSignLeavesAlone) {
    for (const char* const name : {"signing-1/ca", "kubernetes-ca", "etcd-ca", "front-proxy-ca", "makina-ca"}) {
        const auto file = scratch_ / ("keys/" + std::string(name) + ".crt");
        EXPECT_EQ(openssl({"verify", "-x509_strict", "-attime", std::to_string(now), "-CAfile", file.string(),
                           file.string()}),
                  file.string() + ": OK\n");
        EXPECT_NE(extension(file, "basicConstraints").find("critical\n    CA:TRUE, pathlen:0\n"), std::string::npos);
        EXPECT_NE(extension(file, "keyUsage").find("critical\n    Certificate Sign, CRL Sign\n"), std::string::npos);
        EXPECT_EQ(openssl({"x509", "-in", file.string(), "-noout", "-dates"}),
                  "notBefore=Oct  8 08:53:20 2025 GMT\nnotAfter=Oct  4 08:53:20 2045 GMT\n");
    }
    std::set<std::string> names;
    for (const char* const name : {"signing-1/ca", "kubernetes-ca", "etcd-ca", "front-proxy-ca", "makina-ca"}) {
        names.insert(subject(scratch_ / ("keys/" + std::string(name) + ".crt")));
    }
    EXPECT_EQ(names.size(), 5U);
}

TEST_F(Issue, PutsManyBundlesIntoTheLedgerAtOnceIfItIsPostponed) {
    const auto ledger = scratch_ / "keys/ledger";
    const std::string before = slurp(ledger);
    keys_.postpone();
    EXPECT_EQ(issue(recipient("worker-1", "worker")).epoch, 1U);
    EXPECT_EQ(issue(recipient("worker-1", "worker")).epoch, 2U);
    EXPECT_EQ(issue(recipient("worker-2", "worker")).epoch, 1U);
    EXPECT_EQ(slurp(ledger), before);
    keys_.settle();
    EXPECT_EQ(decode_ledger(slurp(ledger)).entries.size(), 3U);
    EXPECT_EQ(issue(recipient("worker-2", "worker")).epoch, 2U);
    // What is noted for good takes along what was postponed.
    keys_.note_formed("etcd", now);
    EXPECT_EQ(decode_ledger(slurp(ledger)).entries.size(), 4U);
}

TEST_F(Issue, MakesASignerOfBundlesAndOfNothingElse) {
    const auto file = scratch_ / "keys/signing-1/signer.crt";
    EXPECT_NE(extension(file, "extendedKeyUsage").find(std::string("critical\n    ") + bundle_signing_oid + "\n"),
              std::string::npos);
    EXPECT_NE(extension(file, "keyUsage").find("critical\n    Digital Signature\n"), std::string::npos);
    EXPECT_NE(extension(file, "basicConstraints").find("critical\n    CA:FALSE\n"), std::string::npos);
    for (const char* const purpose : {"sslclient", "sslserver", "smimesign"}) {
        EXPECT_NE(run({.argv = {"openssl", "verify", "-purpose", purpose, "-attime", std::to_string(now), "-CAfile",
                                (scratch_ / "keys/signing-1/ca.crt").string(), file.string()}})
                      .status,
                  0)
            << purpose;
    }
}

TEST_F(Issue, GivesAKubeletTheNameThatKubernetesKnowsNodesBy) {
    const Bundle bundle = issue(recipient("worker-1", "worker"));
    const auto kubelet = verified(bundle, "kubelet.crt", "kubernetes-ca", "sslclient");
    EXPECT_EQ(subject(kubelet), "subject=CN=system:node:worker-1,O=system:nodes\n");
    EXPECT_NE(extension(kubelet, "extendedKeyUsage").find("    TLS Web Client Authentication\n"), std::string::npos);
    EXPECT_EQ(extension(kubelet, "extendedKeyUsage").find("Server"), std::string::npos);
    EXPECT_EQ(openssl({"x509", "-in", kubelet.string(), "-noout", "-enddate"}), "notAfter=Oct  8 08:53:20 2030 GMT\n");
    EXPECT_EQ(payload(bundle, "kubernetes-ca.crt"), slurp(scratch_ / "keys/kubernetes-ca.crt"));
}

TEST_F(Issue, GivesEveryNodeACertificateForBothEndsOfATlsConnection) {
    const Bundle bundle = issue(recipient("gateway-1", "gateway"));
    const auto node = verified(bundle, "node.crt", "makina-ca", "sslclient");
    (void)verified(bundle, "node.crt", "makina-ca", "sslserver");
    EXPECT_EQ(subject(node), "subject=CN=gateway-1\n");
    EXPECT_NE(extension(node, "subjectAltName").find("    DNS:gateway-1, IP Address:192.168.3.251\n"),
              std::string::npos);
    const std::string key = payload(bundle, "node.key");
    EXPECT_EQ(openssl({"pkey", "-in", scratch_.write("node.key", key).string(), "-pubout"}),
              openssl({"x509", "-in", node.string(), "-noout", "-pubkey"}));
    EXPECT_EQ(keys_.ledger().back().certificate, serial_of(certificate_from_pem(payload(bundle, "node.crt"))));
}

TEST_F(Issue, NamesEtcdMembersAsKubeadmExpectsThem) {
    const Bundle bundle = issue(recipient("etcd-1", "etcd"));
    for (const char* const name : {"etcd-server.crt", "etcd-peer.crt"}) {
        const auto file = verified(bundle, name, "etcd-ca", "sslserver");
        (void)verified(bundle, name, "etcd-ca", "sslclient");
        EXPECT_NE(extension(file, "subjectAltName")
                      .find("    DNS:localhost, DNS:etcd-1, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, "
                            "IP Address:192.168.3.251\n"),
                  std::string::npos);
    }
}

TEST_F(Issue, MakesEveryLeafThatAControlPlaneWithoutAuthoritiesNeeds) {
    Recipient to = recipient("master-1", "control-plane");
    to.offline = true;
    const Bundle bundle = issue(to);
    const auto server = verified(bundle, "apiserver.crt", "kubernetes-ca", "sslserver");
    EXPECT_EQ(subject(server), "subject=CN=kube-apiserver\n");
    EXPECT_NE(extension(server, "subjectAltName")
                  .find("    DNS:kubernetes, DNS:kubernetes.default, DNS:kubernetes.default.svc, "
                        "DNS:kubernetes.default.svc.cluster.local, DNS:api.home.arpa, DNS:master-1, IP "
                        "Address:10.96.0.1, IP Address:192.168.3.240, IP Address:192.168.3.251\n"),
              std::string::npos)
        << extension(server, "subjectAltName");
    EXPECT_EQ(subject(verified(bundle, "apiserver-kubelet-client.crt", "kubernetes-ca", "sslclient")),
              "subject=CN=kube-apiserver-kubelet-client,O=kubeadm:cluster-admins\n");
    EXPECT_EQ(subject(verified(bundle, "front-proxy-client.crt", "front-proxy-ca", "sslclient")),
              "subject=CN=front-proxy-client\n");
    EXPECT_EQ(subject(verified(bundle, "etcd-client.crt", "etcd-ca", "sslclient")),
              "subject=CN=kube-apiserver-etcd-client\n");
    EXPECT_EQ(subject(verified(bundle, "etcd-healthcheck-client.crt", "etcd-ca", "sslclient")),
              "subject=CN=kube-etcd-healthcheck-client\n");
    (void)verified(bundle, "etcd-server.crt", "etcd-ca", "sslserver");
}

TEST_F(Issue, WritesKubeconfigsThatHoldACertificateAndItsKey) {
    Recipient to = recipient("master-1", "control-plane");
    to.offline = true;
    const Bundle bundle = issue(to);
    const std::map<std::string, std::pair<std::string, std::string>> expected = {
        {"admin.conf", {"CN=kubernetes-admin,O=kubeadm:cluster-admins", "192.168.3.240:9000"}},
        {"super-admin.conf", {"CN=kubernetes-super-admin,O=system:masters", "192.168.3.240:9000"}},
        {"kubelet.conf", {"CN=system:node:master-1,O=system:nodes", "192.168.3.240:9000"}},
        {"controller-manager.conf", {"CN=system:kube-controller-manager", "192.168.3.251:6443"}},
        {"scheduler.conf", {"CN=system:kube-scheduler", "192.168.3.251:6443"}}};
    for (const auto& [name, facts] : expected) {
        const std::string text = payload(bundle, name);
        EXPECT_NE(text.find("      server: \"https://" + facts.second + "\"\n"), std::string::npos) << name;
        const auto decoded = [&](const std::string& key) {
            const auto at = text.find(key + ": ") + key.size() + 2;
            const auto file = scratch_.write("base64", text.substr(at, text.find('\n', at) - at));
            return openssl({"base64", "-d", "-A", "-in", file.string()});
        };
        EXPECT_EQ(decoded("certificate-authority-data"), slurp(scratch_ / "keys/kubernetes-ca.crt"));
        const auto certificate = scratch_.write("kubeconfig.crt", decoded("client-certificate-data"));
        EXPECT_EQ(subject(certificate), "subject=" + facts.first + "\n") << name;
        EXPECT_EQ(
            openssl({"pkey", "-in", scratch_.write("kubeconfig.key", decoded("client-key-data")).string(), "-pubout"}),
            openssl({"x509", "-in", certificate.string(), "-noout", "-pubkey"}));
    }
    // Before 1.29 kubeadm's administrators were the masters themselves.
    to.admin_group = "system:masters";
    const Bundle older = issue(to);
    EXPECT_EQ(payload(older, "super-admin.conf"), "");
    EXPECT_NE(payload(older, "admin.conf"), "");
}

TEST_F(Issue, GivesEveryControlPlaneTheSameTokensAndSecretsKey) {
    const Bundle first = issue(recipient("master-1", "control-plane"));
    const Bundle second = issue(recipient("master-2", "control-plane"));
    EXPECT_EQ(
        openssl({"pkey", "-in", scratch_.write("sa.key", payload(first, "service-account.key")).string(), "-pubout"}),
        payload(second, "service-account.pub"));
    EXPECT_EQ(
        openssl({"pkey", "-in", (scratch_ / "sa.key").string(), "-noout", "-text"}).rfind("Private-Key: (2048 bit", 0),
        0U);
    EXPECT_EQ(payload(first, "encryption.yaml"), payload(second, "encryption.yaml"));
    EXPECT_NE(payload(first, "encryption.yaml").find("      - secretbox:\n"), std::string::npos);
    EXPECT_NE(payload(first, "node.key"), payload(second, "node.key"));
    EXPECT_EQ(payload(first, "kubernetes-ca.key"), slurp(scratch_ / "keys/kubernetes-ca.key"));
}

TEST_F(Issue, IsAcceptedByTheOpensslProgramAsThePageSays) {
    const Issued issued = keys_.issue(recipient("lb-1", "load-balancer"), true, now, year, "test");
    const auto file = scratch_.write("makina.bundle", issued.sealed);
    const std::string content =
        openssl({"cms", "-verify", "-binary", "-inform", "DER", "-in", file.string(), "-CAfile",
                 (scratch_ / "keys/signing-1/ca.crt").string(), "-purpose", "any", "-attime", std::to_string(now)});
    EXPECT_EQ(content.rfind("MAKINA-BOOTSTRAP-v1\ncluster-id " + keys_.cluster_id() + "\n", 0), 0U);
    const std::string printed = openssl({"cms", "-cmsout", "-print", "-inform", "DER", "-in", file.string()});
    EXPECT_NE(printed.find("UTCTIME:Oct  9 08:53:20 2025 GMT"), std::string::npos)
        << "signingTime is not the time given";
}

TEST_F(Issue, CountsEpochsByNodeAndNamesEveryCard) {
    const Recipient to = recipient("gateway-1", "gateway");
    const Issued first = keys_.issue(to, true, now, year, "out/gateway 1.img");
    const Issued other = keys_.issue(recipient("lb-1", "load-balancer"), true, now, year, "x");
    const Issued handed = keys_.issue(to, false, now + 10, year, "makina.bundle");
    const Issued second = keys_.issue(to, true, now + 20, year, "y");
    EXPECT_EQ(first.epoch, 1U);
    EXPECT_EQ(other.epoch, 1U);
    EXPECT_EQ(handed.epoch, 2U);
    EXPECT_EQ(second.epoch, 3U);
    EXPECT_EQ(handed.card, first.card) << "a bundle that is handed over is for the card that is there";
    EXPECT_NE(second.card, first.card);
    EXPECT_EQ(second.expires, now + 20 + year);
    const std::vector<LedgerEntry> ledger = keys_.ledger();
    ASSERT_EQ(ledger.size(), 4U);
    EXPECT_EQ(ledger[0].target, "out/gateway 1.img");
    EXPECT_EQ(ledger[0].sha256, sha256(first.sealed));
    EXPECT_EQ(ledger[0].anchors,
              std::vector<std::string>{fingerprint(certificate_from_pem(slurp(scratch_ / "keys/signing-1/ca.crt")))});
    EXPECT_EQ(ledger[0].signer, open_sealed(first.sealed, decode_trust(first.trust)).signer);
    EXPECT_FALSE(ledger[0].revoked);
}

TEST_F(Issue, GivesFoundersTheRightToFoundUntilItIsKnownThatTheyDid) {
    EXPECT_EQ(issue(recipient("worker-1", "worker")).genesis, "");
    EXPECT_EQ(issue(recipient("lb-1", "load-balancer")).genesis, "");
    const Bundle first = issue(recipient("etcd-1", "etcd"));
    const std::string token = first.genesis;
    EXPECT_EQ(token.size(), 32U);
    EXPECT_FALSE(first.genesis_again);
    // A typing error, a bad card: the second card may found as well, but says that there was a first.
    const Bundle second = issue(recipient("etcd-1", "etcd"));
    EXPECT_EQ(second.genesis, token);
    EXPECT_TRUE(second.genesis_again);
    const Bundle third = issue(recipient("etcd-2", "etcd"));
    EXPECT_EQ(third.genesis, token);
    EXPECT_FALSE(third.genesis_again);

    EXPECT_FALSE(Keys::note_formed(scratch_ / "nothing", keys_.cluster_id(), {"etcd-1", "etcd", 1}, now));
    keys_.note_formed("etcd", now);
    EXPECT_EQ(issue(recipient("etcd-3", "etcd")).genesis, "");
    // Control planes that use these etcd nodes begin something else.
    const std::string other = issue(recipient("master-1", "control-plane")).genesis;
    EXPECT_EQ(other.size(), 32U);
    EXPECT_NE(other, token);
    EXPECT_EQ(keys_.formed(), (std::map<std::string, std::int64_t>{{"etcd", now}}));

    EXPECT_EQ(issue(recipient("etcd-3", "etcd")).restore, "");
}

TEST_F(Issue, NeverMakesCardsThatCouldBeginTheClusterWithOtherFounders) {
    const auto one_of = [](const std::string& node, std::size_t founders) {
        Recipient to = recipient(node, "control-plane");
        to.header.peers.push_back({"master-4", "control-plane", "192.168.3.254"});
        to.header.peers.resize(founders);
        return to;
    };
    const Bundle alone = issue(one_of("master-1", 1));
    EXPECT_EQ(words_of([&] { (void)issue(one_of("master-2", 3)); }),
              "no card of master-2 is made: cards that may begin the cluster were made for the control-plane nodes "
              "master-1, but the profile has master-1, master-2, master-3. If the cluster is there, let makina-image "
              "watch see it: further nodes then join it. If it never began: makina-image keys begin-again, and write "
              "the cards of all control-plane nodes anew");
    EXPECT_EQ(keys_.ledger().size(), 1U);
    // A worker's card has no part in it.
    EXPECT_EQ(issue(recipient("worker-1", "worker")).genesis, "");
    EXPECT_FALSE(issue(one_of("master-1", 1)).genesis.empty());

    keys_.begin_again();
    const Bundle three = issue(one_of("master-2", 3));
    EXPECT_FALSE(three.genesis_again);
    EXPECT_NE(three.genesis, alone.genesis);
    EXPECT_EQ(issue(one_of("master-1", 3)).genesis, three.genesis);
    EXPECT_NE(words_of([&] { (void)issue(one_of("master-1", 1)); }), "nothing");

    keys_.note_formed("control-plane", now);
    EXPECT_EQ(issue(one_of("master-4", 4)).genesis, "");
}

TEST_F(Issue, BeginsANewFormationFromASnapshot) {
    const std::string snapshot(64, 'a');
    const auto restored = [&](const std::string& node, const std::string& carried) {
        Recipient to = recipient(node, "etcd");
        to.snapshot = carried;
        return issue(to);
    };
    (void)issue(recipient("etcd-1", "etcd"));
    keys_.note_formed("etcd", now);
    // Another cluster, of which there was no card yet.
    EXPECT_TRUE(keys_.begin_formation(snapshot));
    const Bundle first = restored("etcd-1", snapshot);
    EXPECT_NE(first.genesis, keys_.cluster_id());
    EXPECT_EQ(first.genesis.size(), 32U);
    EXPECT_EQ(first.restore, snapshot);
    EXPECT_FALSE(first.genesis_again);
    EXPECT_EQ(issue(recipient("master-1", "control-plane")).restore, "");
    // The next card, built by another command, is of the same formation.
    EXPECT_FALSE(keys_.begin_formation(snapshot));
    EXPECT_EQ(restored("etcd-2", snapshot).genesis, first.genesis);
    EXPECT_TRUE(restored("etcd-1", snapshot).genesis_again);
    const std::string words = "the cluster begins from the snapshot with the SHA-256 " + snapshot +
                              ": build the card of etcd-3 with --restore and that file";
    EXPECT_EQ(words_of([&] { (void)restored("etcd-3", ""); }), words);
    EXPECT_EQ(words_of([&] { (void)restored("etcd-3", std::string(64, 'b')); }), words);
    // Another snapshot, or the same one again once the cluster was there, is another formation.
    EXPECT_TRUE(keys_.begin_formation(std::string(64, 'b')));
    EXPECT_NE(restored("etcd-1", std::string(64, 'b')).genesis, first.genesis);
    EXPECT_TRUE(keys_.begin_formation(snapshot));
    const std::string third = restored("etcd-1", snapshot).genesis;
    EXPECT_NE(third, first.genesis);
    keys_.note_formed("etcd", now);
    EXPECT_EQ(issue(recipient("etcd-2", "etcd")).genesis, "");
    EXPECT_EQ(issue(recipient("etcd-2", "etcd")).restore, "");
    EXPECT_EQ(words_of([&] { (void)restored("etcd-2", snapshot); }),
              "etcd-2 carries a snapshot, but its cluster begins without one");
    EXPECT_TRUE(keys_.begin_formation(snapshot));
    EXPECT_NE(restored("etcd-1", snapshot).genesis, third);
}

TEST(KeysFolderOnDisk, NotesWithoutThePassphraseWhatHasFormed) {
    const Scratch scratch;
    std::string id;
    {
        const Keys keys = fresh(scratch / "keys", "secret");
        id = keys.cluster_id();
    }
    EXPECT_FALSE(Keys::note_formed(scratch / "keys", std::string(32, '0'), {"etcd-1", "etcd", 1}, now));
    EXPECT_TRUE(Keys::note_formed(scratch / "keys", id, {"etcd-1", "etcd", 1}, now));
    EXPECT_FALSE(Keys::note_formed(scratch / "keys", id, {"etcd-1", "etcd", 1}, now + 5));
    EXPECT_EQ(Keys(scratch / "keys", "makina", "secret").formed(),
              (std::map<std::string, std::int64_t>{{"etcd", now}}));
}

TEST_F(Issue, DoesNotTakeAMemberOfTheOldClusterForOneOfTheRestored) {
    const std::string id = keys_.cluster_id();
    const std::uint64_t before = issue(recipient("etcd-1", "etcd")).epoch;
    keys_.begin_formation(std::string(64, 'a'));
    Recipient to = recipient("etcd-1", "etcd");
    to.snapshot = std::string(64, 'a');
    const std::uint64_t after = issue(to).epoch;
    { const Keys closed = std::move(keys_); }
    EXPECT_FALSE(Keys::note_formed(scratch_ / "keys", id, {"etcd-1", "etcd", before}, now));
    EXPECT_TRUE(Keys::note_formed(scratch_ / "keys", id, {"etcd-1", "etcd", after}, now));
    keys_ = Keys(scratch_ / "keys", "makina", "");
}

TEST_F(Issue, KeepsTheLedgerOverARestart) {
    (void)keys_.issue(recipient("gateway-1", "gateway"), true, now, year, "x");
    const auto before = keys_.ledger();
    { const Keys closed = std::move(keys_); }
    keys_ = Keys(scratch_ / "keys", "makina", "");
    EXPECT_EQ(keys_.ledger().size(), before.size());
    EXPECT_EQ(keys_.issue(recipient("gateway-1", "gateway"), true, now, year, "x").epoch, 2U);
}

TEST_F(Issue, RefusesWhatCannotBeRight) {
    const auto words = [&](const Recipient& to, bool new_card, std::int64_t at) {
        return words_of([&] { (void)keys_.issue(to, new_card, at, year, "x"); });
    };
    EXPECT_EQ(words(recipient("gateway-1", "gateway"), false, now), "gateway-1 has no card yet: build its image first");
    EXPECT_EQ(words(recipient("gateway-1", "butler"), true, now),
              "the trust file cannot be written: \"role\" is no role that this program knows, line 4");
    Recipient other = recipient("gateway-1", "gateway");
    other.header.cluster = "work";
    EXPECT_EQ(words(other, true, now), "the bundle is for the cluster work, the keys are of makina");
    EXPECT_EQ(words(recipient("gateway-1", "gateway"), true, now + 6 * year),
              "the signer of bundles has expired: makina-image keys rotate makes a new one");
    Recipient bad = recipient("gateway-1", "gateway");
    bad.header.api = "192.168.3.240";
    EXPECT_EQ(words(bad, true, now), "the bundle cannot be written: \"api\" is no host and port, line 13");
    EXPECT_EQ(words_of([&] { (void)keys_.issue(recipient("gateway-1", "gateway"), true, now, 0, "x"); }),
              "a bundle is valid for a second or more");
    EXPECT_TRUE(keys_.ledger().empty()) << "what was not issued is not in the ledger";
}

TEST_F(Issue, HandsNothingOverToARevokedCard) {
    const Recipient to = recipient("gateway-1", "gateway");
    const Issued first = keys_.issue(to, true, now, year, "a");
    const Issued second = keys_.issue(to, true, now, year, "b");
    keys_.revoke("gateway-1", "");
    EXPECT_EQ(words_of([&] { (void)keys_.issue(to, false, now, year, "c"); }),
              "the last card of gateway-1 is revoked: build a new image");
    EXPECT_FALSE(keys_.ledger()[0].revoked);
    EXPECT_TRUE(keys_.ledger()[1].revoked);
    keys_.revoke("gateway-1", first.card);
    EXPECT_TRUE(keys_.ledger()[0].revoked);
    EXPECT_EQ(words_of([&] { keys_.revoke("gateway-1", std::string(32, '0')); }),
              "gateway-1 never had a card " + std::string(32, '0'));
    EXPECT_EQ(words_of([&] { keys_.revoke("lb-1", ""); }), "no bundle was ever issued to lb-1");
    EXPECT_EQ(keys_.issue(to, true, now, year, "c").epoch, 3U);
}

TEST(IssuedBundle, OpensForTheNodeItWasMadeForOnly) {
    const Scratch scratch;
    Keys keys = fresh(scratch / "keys");
    const Issued issued = keys.issue(recipient("gateway-1", "gateway"), true, now, year, "x");
    Trust trust = decode_trust(issued.trust);
    EXPECT_EQ(open_sealed(issued.sealed, trust).bundle.card, issued.card);
    trust.node = "gateway-2";
    EXPECT_THROW((void)open_sealed(issued.sealed, trust), Untrusted);
}

}  // namespace
}  // namespace makina
