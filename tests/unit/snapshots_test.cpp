#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "builder/commands/cluster.hpp"
#include "builder/commands/recipient.hpp"
#include "builder/commands/snapshot.hpp"
#include "builder/pki/push.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/snapshot.hpp"
#include "tests/unit/plans.hpp"
#include "tests/unit/refusal.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using plans::content;
using plans::plan_of;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* script = "/usr/lib/makina/snapshot";
constexpr const char* timer = "/etc/systemd/system/makina-snapshot.timer";
constexpr const char* link_to_timer = "/etc/systemd/system/timers.target.wants/makina-snapshot.timer";

Profile pushing(const std::string& ssh, const std::string& bucket) {
    Profile profile = clusters::external_etcd();
    Snapshots& snapshots = profile.etcd.snapshots;
    snapshots.ssh = ssh;
    snapshots.bucket = bucket;
    if (!bucket.empty()) snapshots.endpoint = "https://s3.home.arpa:9000";
    return profile;
}

// --- what the plan makes of it ---

TEST(Snapshots, AreTakenByATimerOnEtcdNodesOnly) {
    const Profile profile = clusters::external_etcd();
    const ImagePlan plan = plan_of(profile, "etcd-1");
    EXPECT_EQ(content(plan, link_to_timer), "../makina-snapshot.timer");
    EXPECT_THAT(content(plan, timer), HasSubstr("\nOnUnitActiveSec=3600\nRandomizedDelaySec=900\n"));
    EXPECT_THAT(content(plan, "/etc/systemd/system/makina-snapshot.service"),
                HasSubstr("\nConditionPathExists=/var/lib/makina/joined\n"));
    EXPECT_EQ(plan.files.find(script)->mode, 0755U);
    EXPECT_THAT(content(plan, script), HasSubstr("\nkeep=4\ndue=330 # minutes\n"));
    for (const char* const node : {"master-1", "lb-1"}) {
        EXPECT_EQ(plan_of(profile, node).files.find(script), nullptr) << node;
    }
}

TEST(Snapshots, AreLeftOutWithTheirTimerWhereNoneAreTaken) {
    Profile profile = clusters::external_etcd();
    profile.etcd.snapshots.every = 0;
    const ImagePlan plan = plan_of(profile, "etcd-1");
    for (const char* const path : {script, timer, link_to_timer, "/etc/systemd/system/makina-snapshot.service"}) {
        EXPECT_EQ(plan.files.find(path), nullptr) << path;
    }
}

TEST(Snapshots, AreAskedForOftenEnoughToBeTakenInTime) {
    Profile profile = clusters::external_etcd();
    profile.etcd.snapshots.every = 600;
    profile.etcd.snapshots.keep = 9;
    const ImagePlan plan = plan_of(profile, "etcd-1");
    EXPECT_THAT(content(plan, timer), HasSubstr("\nOnUnitActiveSec=600\nRandomizedDelaySec=150\n"));
    EXPECT_THAT(content(plan, script), HasSubstr("\nkeep=9\ndue=5 # minutes\n"));
}

TEST(Snapshots, GoToAPlaceByWhatItSpeaks) {
    const std::string none = content(plan_of(pushing("", ""), "etcd-1"), script);
    EXPECT_THAT(none, Not(HasSubstr("push")));
    const std::string ssh = content(plan_of(pushing("backup@nas.home.arpa:etcd", ""), "etcd-1"), script);
    EXPECT_THAT(ssh, HasSubstr("\nplace='backup@nas.home.arpa:etcd'\n"));
    EXPECT_THAT(ssh, HasSubstr("-o StrictHostKeyChecking=yes"));
    EXPECT_THAT(ssh, Not(HasSubstr("curl")));
    const std::string store = content(plan_of(pushing("", "cellar/etcd"), "etcd-1"), script);
    EXPECT_THAT(store, HasSubstr("\nurl='https://s3.home.arpa:9000/cellar/etcd'\n"));
    EXPECT_THAT(store, HasSubstr("\nsignature='aws:amz:us-east-1:s3'\n"));
    EXPECT_THAT(store, Not(HasSubstr("rsync")));
    EXPECT_THAT(packages_for(pushing("backup@nas:x", ""), Role::etcd), Contains("rsync"));
    EXPECT_THAT(packages_for(pushing("backup@nas:x", ""), Role::worker), Not(Contains("rsync")));
    EXPECT_THAT(packages_for(pushing("", "cellar"), Role::etcd), Not(Contains("rsync")));
    for (const std::string& text : {none, ssh, store}) {
        const Scratch scratch;
        EXPECT_EQ(run({{"sh", "-n", scratch.write("script", text).string()}}).status, 0) << text;
    }
}

// --- what opens that place ---

/// ssh-keygen -t ed25519, the beginning of a key without and with a passphrase: enough for what is looked at.
std::string key_with(const std::string& cipher) {
    const std::string length{'\0', '\0', '\0', static_cast<char>(cipher.size())};
    const std::string body = to_base64(std::string("openssh-key-v1\0", 15) + length + cipher + "and so on");
    return "-----BEGIN OPENSSH PRIVATE KEY-----\n" + body + "\n-----END OPENSSH PRIVATE KEY-----\n";
}

class Credential : public ::testing::Test {
  protected:
    Scratch scratch;
    std::filesystem::path file(const std::string& text, std::filesystem::perms mode = std::filesystem::perms(0600)) {
        auto path = scratch.write("credentials", text);
        std::filesystem::permissions(path, mode);
        return path;
    }
    const std::string where = (scratch / "credentials").string() + ": ";
    const std::string host = "nas.home.arpa ssh-ed25519 AAAAC3Nz";
};

TEST_F(Credential, OfSshIsAKeyAndTheHostsThatItIsFor) {
    const std::string key = key_with("none");
    EXPECT_THAT(ssh_credentials(file(key + "\n# of the cellar\n" + host + "\n")),
                ElementsAre(Payload{"snapshots-known-hosts", host + "\n"}, Payload{"snapshots-ssh.key", key}));
    const std::string old = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
    EXPECT_EQ(ssh_credentials(file(old + host)).at(1).content, old);
    EXPECT_EQ(refusal([&] { (void)ssh_credentials(file(host)); }), where + "there is no private key in it");
    EXPECT_EQ(refusal([&] { (void)ssh_credentials(file("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n" + host)); }),
              where + "there is no private key in it");
    const std::string locked =
        where + "the private key has a passphrase, and nobody is there to type it: make one without";
    EXPECT_EQ(refusal([&] { (void)ssh_credentials(file(key_with("aes256-ctr") + host)); }), locked);
    EXPECT_EQ(refusal([&] {
                  (void)ssh_credentials(
                      file("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"
                           "-----END RSA PRIVATE KEY-----\n" +
                           host));
              }),
              locked);
    const std::string hosts = where +
                              "the host's lines of known_hosts are to follow the key: ssh-keyscan HOST prints them; "
                              "compare them with the host's own";
    EXPECT_EQ(refusal([&] { (void)ssh_credentials(file(key)); }), hosts);
    EXPECT_EQ(refusal([&] { (void)ssh_credentials(file(key + "nas.home.arpa ssh-ed25519\n")); }), hosts);
    EXPECT_EQ(refusal([&] { (void)ssh_credentials(file(key + host + "\x01")); }), where + "not a file of text");
}

TEST_F(Credential, OfAStoreIsTwoKeys) {
    const std::string id = "aws_access_key_id = AKIAEXAMPLE\n";
    const std::string secret = "aws_secret_access_key=wJalr/K7+x=\n";
    EXPECT_THAT(s3_credentials(file("[default]\n# of the cellar\n\n" + id + secret)),
                ElementsAre(Payload{"snapshots-s3", "user = \"AKIAEXAMPLE:wJalr/K7+x=\"\n"}));
    for (const auto& [text, words] : std::vector<std::pair<std::string, std::string>>{
             {"", "aws_access_key_id is missing, or has a character of no key"},
             {id, "aws_secret_access_key is missing, or has a character of no key"},
             {secret, "aws_access_key_id is missing, or has a character of no key"},
             {id + id + secret, "aws_access_key_id is there twice"},
             {id + "region = here\n" + secret, "a line is neither of the two keys"},
             {"aws_access_key_id = A:B\n" + secret, "aws_access_key_id is missing, or has a character of no key"},
             {id + "aws_secret_access_key = a\"b\n", "aws_secret_access_key is missing, or has a character of no key"},
             {id + "aws_secret_access_key = a b\n",
              "aws_secret_access_key is missing, or has a character of no key"}}) {
        EXPECT_EQ(refusal([&, &its = text] { (void)s3_credentials(file(its)); }), where + words) << text;
    }
}

TEST_F(Credential, IsReadOnlyFromAFileThatNobodyElseCanRead) {
    const std::string text = key_with("none") + host;
    EXPECT_THAT(refusal([&] { (void)ssh_credentials(file(text, std::filesystem::perms(0640))); }),
                HasSubstr("credentials"));
    EXPECT_THAT(refusal([&] { (void)s3_credentials(scratch / "none"); }), HasSubstr("none"));
}

TEST_F(Credential, GoesIntoTheBundlesOfEtcdNodesOnly) {
    Profile profile = pushing("backup@nas.home.arpa:etcd", "");
    profile.etcd.snapshots.credentials = file(key_with("none") + host);
    const auto names = [&](const std::string& node) {
        std::vector<std::string> all;
        for (const Payload& payload : recipient_of(profile, *profile.find(node)).configuration) {
            if (payload.name.starts_with("snapshots-")) all.push_back(payload.name);
        }
        return all;
    };
    EXPECT_THAT(names("etcd-1"), ElementsAre("snapshots-known-hosts", "snapshots-ssh.key"));
    EXPECT_THAT(names("master-1"), ElementsAre());
    EXPECT_THAT(names("lb-1"), ElementsAre());
    // In the plain image there is nothing of it.
    const ImagePlan plan = plan_of(profile, "etcd-1");
    for (const auto& [path, its] : plan.files.files()) {
        EXPECT_THAT(its.content, Not(HasSubstr("OPENSSH PRIVATE KEY"))) << path;
    }
    profile = pushing("", "cellar");
    profile.etcd.snapshots.credentials = file("aws_access_key_id=A\naws_secret_access_key=B\n");
    EXPECT_THAT(names("etcd-2"), ElementsAre("snapshots-s3"));
}

// --- one that a cluster is made from ---

std::string bytes_of(const std::string& hex) {
    std::string bytes;
    for (std::size_t at = 0; at < hex.size(); at += 2) {
        bytes += static_cast<char>(std::stoi(hex.substr(at, 2), nullptr, 16));
    }
    return bytes;
}

/// What etcd gives away: pages of a database, of which the first has its mark, and their checksum.
std::string snapshot_of(const std::string& what) {
    std::string pages(8192, '\0');
    pages.replace(16, 8, std::string("\xed\xda\x0c\xed\x02\0\0\0", 8));
    pages.replace(5000, what.size(), what);
    return pages + bytes_of(sha256(pages));
}

TEST(Restore, TakesASnapshotAndNothingElse) {
    const Scratch scratch;
    const std::string good = snapshot_of("keys");
    const auto file = scratch.write("good.db", good);
    EXPECT_EQ(read_snapshot(file).content, good);
    EXPECT_EQ(read_snapshot(file).sha256, sha256(good));
    const auto words = [&](const std::string& bytes) {
        const auto bad = scratch.write("bad.db", bytes);
        const std::string text = refusal([&] { (void)read_snapshot(bad); });
        const std::string begin = "--restore " + bad.string() + ": ";
        return text.starts_with(begin) ? text.substr(begin.size()) : text;
    };
    const std::string none = "not a snapshot of etcd: it does not begin as etcd's database";
    const std::string cut =
        "the checksum at its end is missing: it was cut off, or is a member's own db file; take one "
        "with etcdctl snapshot save";
    const std::string changed = "it was changed: the checksum at its end is that of something else";
    EXPECT_EQ(words(""), none);
    EXPECT_EQ(words("SQLite format 3"), none);
    EXPECT_EQ(words(std::string(8192 + 32, '\0')), none);
    EXPECT_EQ(words(good.substr(0, 8192)), cut);
    EXPECT_EQ(words(good.substr(0, good.size() - 1)), cut);
    EXPECT_EQ(words(good.substr(0, 4096 + 32)), changed);
    for (const std::size_t at : {std::size_t{0}, std::size_t{5000}, good.size() - 33, good.size() - 1}) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        EXPECT_EQ(words(bad), changed) << at;
    }
    EXPECT_EQ(refusal([&] { (void)read_snapshot(scratch / "nowhere"); }),
              "--restore " + (scratch / "nowhere").string() + ": no such file");
    EXPECT_THROW((void)read_snapshot(scratch.path()), Mistake);
}

TEST(Restore, IsForEtcdNodesOfTheirOwn) {
    const Profile external = clusters::external_etcd();
    EXPECT_NO_THROW(check_restore(external, nullptr));
    EXPECT_NO_THROW(check_restore(external, external.find("etcd-2")));
    EXPECT_EQ(refusal([&] { check_restore(external, external.find("lb-1")); }),
              "--restore: lb-1 is no etcd node; name one, or say --all");
    EXPECT_EQ(refusal([&] { check_restore(clusters::pair(), nullptr); }),
              "--restore: etcd on the control planes is not made from a snapshot yet, only etcd on nodes of its own "
              "(etcd.topology: external)");
}

TEST(Restore, PutsTheSnapshotOntoTheCardForRootAlone) {
    ImagePlan plan = plan_of(clusters::external_etcd(), "etcd-1");
    EXPECT_EQ(plan.files.find(snapshot_path), nullptr);
    carry_snapshot(plan, {snapshot_of("keys"), "x"});
    const File* const file = plan.files.find(snapshot_path);
    ASSERT_NE(file, nullptr);
    EXPECT_EQ(file->content, snapshot_of("keys"));
    EXPECT_EQ(file->mode, 0600U);
    EXPECT_EQ(file->user + file->group, "rootroot");
}

}  // namespace
}  // namespace makina
