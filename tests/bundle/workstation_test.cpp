#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "builder/commands/keyring.hpp"
#include "builder/commands/recipient.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/bundle/scan.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

// Rows of the table of attacks about secrets on the machine where cards are made, and on cards.
namespace makina {
namespace {

using ::testing::IsEmpty;

/// The program, its files below one folder, where every new file might be everybody's.
class Row16 : public testing::Test {
  protected:
    Scratch scratch_;
    std::filesystem::path keys_ = scratch_ / "keys";

    Result makina(const std::vector<std::string>& words) {
        std::vector<std::string> argv = {"env",
                                         "HOME=" + (scratch_ / "home").string(),
                                         "TMPDIR=" + (scratch_ / "tmp").string(),
                                         "sh",
                                         "-c",
                                         "umask 000; exec \"$@\"",
                                         "sh",
                                         MAKINA_IMAGE};
        argv.insert(argv.end(), words.begin(), words.end());
        for (const char* const more : {"--profile", "--keys"}) argv.emplace_back(more);
        argv.insert(argv.end() - 1, std::string(MAKINA_SOURCE) + "/profiles/makina.yaml");
        argv.push_back(keys_.string());
        Result result = run({argv});
        said_ += result.output + result.errors;
        return result;
    }
    std::string said_;
};

TEST_F(Row16, SecretsAreTheirOwnersAloneWhateverTheUmaskAndAreSaidNowhere) {
    for (const char* const folder : {"home", "tmp"}) std::filesystem::create_directory(scratch_ / folder);
    ASSERT_EQ(makina({"keys"}).status, 0) << said_;
    {
        Profile profile = clusters::pair();
        Keys keys(keys_, profile.name, "");
        (void)keys.issue(recipient_of(profile, *profile.find("worker-1")), true, seconds_now(), keyrings::year, "card");
    }
    const std::string bundle = (scratch_ / "makina.bundle").string();
    const std::string backup = (scratch_ / "backup").string();
    const std::string passphrase = scratch_.write("passphrase", "correct horse\n").string();
    ASSERT_EQ(makina({"bundle", "create", "--role", "worker-1", "--output", bundle}).status, 0) << said_;
    ASSERT_EQ(makina({"keys", "backup", backup, "--backup-passphrase-file", passphrase}).status, 0) << said_;
    ASSERT_EQ(makina({"keys", "rotate"}).status, 0) << said_;
    ASSERT_EQ(makina({"keys", "show", "--json"}).status, 0) << said_;
    const std::vector<scan::Form> forms = scan::forms_of(keys_);
    ASSERT_FALSE(forms.empty());
    std::size_t with_secrets = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch_.path())) {
        if (!entry.is_regular_file()) continue;
        struct stat facts {};
        ASSERT_EQ(lstat(entry.path().c_str(), &facts), 0);
        const bool secret = !scan::found_in(slurp(entry.path()), forms).empty();
        const bool issued = entry.path() == bundle || entry.path() == backup;
        if (!secret && !issued) continue;
        ++with_secrets;
        EXPECT_EQ(facts.st_mode & 077U, 0U) << entry.path();
        EXPECT_TRUE(issued || entry.path().string().rfind(keys_.string(), 0) == 0) << entry.path();
    }
    EXPECT_GE(with_secrets, 10U) << "the control: too little was found";
    EXPECT_THAT(scan::found_in(slurp(backup), forms), IsEmpty()) << "the backup can be read without its passphrase";
    EXPECT_THAT(scan::found_in(said_, forms), IsEmpty());
    EXPECT_TRUE(std::filesystem::is_empty(scratch_ / "tmp"));
}

TEST_F(Row16, NoOptionTakesAPassphraseAsAWord) {
    // What is on the command line is in /proc for everybody.
    const std::string help = run({{MAKINA_IMAGE, "keys", "--help"}}).output;
    EXPECT_NE(help.find("--passphrase-file FILE"), std::string::npos) << help;
    const Result refused = makina({"keys", "--passphrase=correct-horse"});
    EXPECT_EQ(refused.status, 2) << said_;
    EXPECT_FALSE(std::filesystem::exists(keys_));
}

struct Carrier {
    const char* name;
    Profile profile;
    const char* node;
    std::set<std::string> authorities;  ///< whose private keys it has
};

Profile offline(Profile profile) {
    profile.pki = Pki::offline;
    return profile;
}

TEST(Row17, AnAuthoritysPrivateKeyIsOnNoCardThatDoesNotSign) {
    const std::set<std::string> every = {"kubernetes-ca.key", "front-proxy-ca.key", "etcd-ca.key"};
    const std::vector<Carrier> carriers = {
        {"control plane", clusters::pair(), "master-1", every},
        {"control plane, etcd elsewhere",
         clusters::external_etcd(),
         "master-1",
         {"kubernetes-ca.key", "front-proxy-ca.key"}},
        {"control plane, offline", offline(clusters::pair()), "master-1", {}},
        {"control plane, offline, etcd elsewhere", offline(clusters::external_etcd()), "master-1", {}},
        {"etcd", clusters::external_etcd(), "etcd-1", {}},
        {"worker", clusters::pair(), "worker-1", {}},
        {"load balancer", clusters::pair(), "lb-1", {}},
        {"gateway", clusters::pair(), "gateway-1", {}}};
    for (const Carrier& one : carriers) {
        const Scratch scratch;
        Keys::create(scratch / "keys", one.profile.name, "", keyrings::now);
        std::string sealed;
        std::string trust;
        {
            Keys keys(scratch / "keys", one.profile.name, "");
            Issued issued = keys.issue(recipient_of(one.profile, *one.profile.find(one.node)), true, keyrings::now,
                                       keyrings::year, "test");
            sealed = std::move(issued.sealed);
            trust = std::move(issued.trust);
        }
        // Whatever it is called: a key whose public half is in a certificate of an authority.
        const Material material(scratch / "keys", "");
        std::set<std::string> found;
        for (const Payload& payload : open_sealed(sealed, decode_trust(trust)).bundle.payloads) {
            if (payload.content.find("PRIVATE KEY-----") == std::string::npos) continue;
            const Key key = key_from_pem(payload.content, "");
            for (const auto& [name, content] : material.all()) {
                if (!name.ends_with("ca.crt")) continue;
                const Certificate authority = material.certificate(name.substr(0, name.size() - 4));
                if (belong_together(authority, key)) found.insert(payload.name);
            }
        }
        EXPECT_EQ(found, one.authorities) << one.name;
        EXPECT_EQ(found.count("ca.key") + found.count("makina-ca.key"), 0U) << one.name;
    }
}

}  // namespace
}  // namespace makina
