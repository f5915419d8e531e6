#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "builder/pki/folder.hpp"
#include "builder/pki/material.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using keyrings::fresh;
using keyrings::now;
using keyrings::recipient;
using keyrings::words_of;
using keyrings::year;

unsigned mode_of(const std::filesystem::path& path) {
    struct stat facts {};
    return lstat(path.c_str(), &facts) == 0 ? facts.st_mode & 07777 : 0;
}

/// Paths of everything below, each with its mode in octal.
std::map<std::string, unsigned> modes_in(const std::filesystem::path& folder) {
    std::map<std::string, unsigned> modes;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        modes[entry.path().lexically_relative(folder).string()] = mode_of(entry.path());
    }
    return modes;
}

TEST(Pki, MakesAFolderThatOnlyItsOwnerCanReadWhateverTheUmaskIs) {
    for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{0277}}) {
        const Scratch scratch;
        const std::filesystem::path folder = scratch / "config/makina/home";
        EXPECT_EQ(in_child([&] {
                      umask(mask);
                      Keys::create(folder, "home", "", now);
                      return std::string("made");
                  }),
                  "made");
        EXPECT_EQ(mode_of(folder), 0700U);
        EXPECT_EQ(mode_of(scratch / "config"), 0700U);
        const auto modes = modes_in(folder);
        EXPECT_EQ(modes.size(), 19U);
        for (const auto& [path, mode] : modes) EXPECT_EQ(mode, path == "signing-1" ? 0700U : 0600U) << path;
        EXPECT_EQ(names_in(scratch / "config/makina"), "home ");
    }
}

TEST(Pki, GivesEveryClusterItsOwnIdAndSecrets) {
    const Scratch scratch;
    Keys::create(scratch / "a", "a", "", now);
    Keys::create(scratch / "b", "b", "", now);
    const Keys a(scratch / "a", "a", "");
    const Keys b(scratch / "b", "b", "");
    EXPECT_NE(a.cluster_id(), b.cluster_id());
    EXPECT_EQ(a.cluster_id().size(), 32U);
    for (const char* const name : {"encryption.key", "kubernetes-ca.key", "service-account.key"}) {
        EXPECT_NE(slurp(scratch / "a" / name), slurp(scratch / "b" / name)) << name;
    }
}

TEST(Pki, NeverOverwritesAFolder) {
    const Scratch scratch;
    Keys::create(scratch / "keys", "home", "", now);
    const std::string before = slurp(scratch / "keys/kubernetes-ca.key");
    EXPECT_EQ(words_of([&] { Keys::create(scratch / "keys", "home", "", now); }),
              (scratch / "keys").string() + " exists already: keys are never overwritten");
    EXPECT_EQ(slurp(scratch / "keys/kubernetes-ca.key"), before);
    scratch.write("other/holiday.jpg", "sun");
    EXPECT_EQ(words_of([&] { Keys::create(scratch / "other", "home", "", now); }),
              (scratch / "other").string() + " exists already: keys are never overwritten");
    EXPECT_EQ(names_in(scratch / "other"), "holiday.jpg ");
    scratch.write("file", "text");
    EXPECT_EQ(words_of([&] { Keys::create(scratch / "file", "home", "", now); }),
              (scratch / "file").string() + " is no folder");
    EXPECT_EQ(words_of([&] { Keys::create(scratch / "x", "Home!", "", now); }), "\"Home!\" is no name of a cluster");
    EXPECT_EQ(words_of([&] { Keys::create(scratch / "x", "home", std::string(1025, 'p'), now); }),
              "the passphrase is longer than 1024 bytes");
}

TEST(Pki, FillsAnEmptyFolderAndMakesAHalfMadeOneAnew) {
    const Scratch scratch;
    std::filesystem::create_directory(scratch / "keys");
    std::filesystem::permissions(scratch / "keys", std::filesystem::perms(0755));
    scratch.write(".keys.making/cluster", "half");
    scratch.write(".keys.making/signing-1/ca.key", "half");
    EXPECT_EQ(keys_folder(scratch / "keys"), KeysFolder::missing);
    Keys::create(scratch / "keys", "home", "", now);
    EXPECT_EQ(mode_of(scratch / "keys"), 0700U);
    EXPECT_EQ(keys_folder(scratch / "keys"), KeysFolder::plain);
    EXPECT_EQ(names_in(scratch.path()), "keys ");
    EXPECT_EQ(Keys(scratch / "keys", "home", "").facts().size(), 8U);
}

TEST(Pki, DoesNotFollowALinkThatStandsWhereItWrites) {
    const Scratch scratch;
    std::filesystem::create_directory(scratch / "elsewhere");
    std::filesystem::create_directory_symlink(scratch / "elsewhere", scratch / ".keys.making");
    EXPECT_EQ(words_of([&] { Keys::create(scratch / "keys", "home", "", now); }),
              (scratch / ".keys.making").string() + ": not a directory");
    EXPECT_EQ(names_in(scratch / "elsewhere"), "");
    scratch.write("a", "old");
    std::filesystem::create_symlink(scratch / "a", scratch / "link");
    EXPECT_EQ(words_of([&] { write_new(scratch / "link", "new"); }),
              "making " + (scratch / "link").string() + ": file exists");
    EXPECT_EQ(words_of([&] { write_new(scratch / "a", "new"); }),
              "making " + (scratch / "a").string() + ": file exists");
    EXPECT_EQ(words_of([&] { (void)read_private(scratch / "link"); }),
              "reading " + (scratch / "link").string() + ": too many levels of symbolic links");
    EXPECT_EQ(slurp(scratch / "a"), "old");
}

TEST(Pki, LetsOneOfTwoMakersWin) {
    const Scratch scratch;
    const auto make = [&] {
        Keys::create(scratch / "keys", "home", "", now);
        return std::string("made");
    };
    std::vector<std::string> results;
    {
        ChildProcess first(make);
        ChildProcess second(make);
        results = {first.result(), second.result()};
    }
    EXPECT_EQ(std::count(results.begin(), results.end(), "made"), 1) << results[0] << "\n" << results[1];
    const Keys keys(scratch / "keys", "home", "");
    EXPECT_EQ(names_in(scratch.path()), "keys ");
}

TEST(Pki, WaitsForAnotherHolderOfTheFolder) {
    const Scratch scratch;
    Keys::create(scratch / "keys", "home", "", now);
    auto held = std::make_unique<Keys>(scratch / "keys", "home", "");
    // The child's own descriptor of the lock would keep it held.
    const int other = open((scratch / "keys").c_str(), O_RDONLY | O_DIRECTORY);
    EXPECT_GE(other, 0);
    EXPECT_EQ(words_of([&] { (void)lock_folder(scratch / "keys"); }),
              (scratch / "keys").string() + " is in use by another makina-image: wait until it ends");
    held.reset();
    close(other);
    EXPECT_EQ(words_of([&] { const Keys again(scratch / "keys", "home", ""); }), "nothing");
}

TEST(Pki, RefusesAFolderThatIsOpenToOthers) {
    const Scratch scratch;
    const std::filesystem::path folder = scratch / "keys";
    Keys::create(folder, "home", "", now);
    const auto open_it = [&] { const Keys keys(folder, "home", ""); };
    std::filesystem::permissions(folder, std::filesystem::perms(0750));
    EXPECT_EQ(words_of(open_it), "opening the keys: " + folder.string() +
                                     " can be read by others: chmod 700 it, and think of its keys as known");
    std::filesystem::permissions(folder, std::filesystem::perms(0700));
    std::filesystem::permissions(folder / "ledger", std::filesystem::perms(0604));
    EXPECT_EQ(words_of(open_it), (folder / "ledger").string() + ": " + (folder / "ledger").string() +
                                     " can be read by others: chmod 600 it");
}

TEST(Pki, RefusesAFolderThatIsMissingIncompleteOrOfAnotherCluster) {
    const Scratch scratch;
    const std::filesystem::path folder = scratch / "keys";
    EXPECT_EQ(words_of([&] { const Keys keys(folder, "home", ""); }),
              "opening the keys: " + folder.string() + ": no such file or directory");
    Keys::create(folder, "home", "", now);
    EXPECT_EQ(words_of([&] { const Keys keys(folder, "work", ""); }),
              folder.string() + " has the keys of the cluster home, not of work");
    for (const char* const name : {"etcd-ca.key", "makina-ca.crt", "service-account.pub", "signing-1/ca.key", "revoked",
                                   "ledger", "encryption.key"}) {
        if (std::string(name) == "revoked") continue;
        std::filesystem::rename(folder / name, scratch / "aside");
        EXPECT_EQ(words_of([&] { const Keys keys(folder, "home", ""); }),
                  (folder / name).string() + " is missing: restore the folder from its backup");
        std::filesystem::rename(scratch / "aside", folder / name);
    }
    std::filesystem::rename(folder / "signing-1", scratch / "aside");
    EXPECT_EQ(words_of([&] { const Keys keys(folder, "home", ""); }),
              folder.string() + " has no signing authority: restore it from its backup");
    std::filesystem::rename(scratch / "aside", folder / "signing-1");
    EXPECT_EQ(words_of([&] { const Keys keys(folder, "home", ""); }), "nothing");
}

TEST(Pki, RefusesKeysThatDoNotBelongToTheirCertificates) {
    const Scratch scratch;
    const std::filesystem::path folder = scratch / "keys";
    Keys::create(folder, "makina", "", now);
    Keys::create(scratch / "other", "makina", "", now);
    std::filesystem::copy_file(scratch / "other/makina-ca.key", folder / "makina-ca.key",
                               std::filesystem::copy_options::overwrite_existing);
    Keys keys(folder, "makina", "");
    EXPECT_EQ(words_of([&] { (void)keys.issue(recipient("gateway-1", "gateway"), true, now, year, "test"); }),
              (folder / "makina-ca").string() + ".crt and .key do not belong together");
    EXPECT_TRUE(keys.ledger().empty());
}

TEST(Pki, EncryptsEveryPrivateThingUnderAPassphrase) {
    const Scratch scratch;
    const std::filesystem::path folder = scratch / "keys";
    Keys::create(folder, "makina", "correct horse", now);
    EXPECT_EQ(keys_folder(folder), KeysFolder::encrypted);
    EXPECT_EQ(words_of([&] { const Keys keys(folder, "makina", ""); }),
              "the keys in " + folder.string() + " need their passphrase");
    EXPECT_EQ(words_of([&] { const Keys keys(folder, "makina", "wrong"); }),
              (folder / "signing-1/signer.key").string() + ": the passphrase is wrong");
    Keys::create(scratch / "plain", "makina", "", now);
    EXPECT_EQ(words_of([&] { const Keys keys(scratch / "plain", "makina", "correct horse"); }),
              "the keys in " + (scratch / "plain").string() + " have no passphrase: say none");
    int hidden = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
        const std::string name = entry.path().filename();
        if (entry.path().extension() == ".key" && name != "encryption.key") {
            EXPECT_EQ(slurp(entry.path()).rfind("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", 0), 0U) << name;
            ++hidden;
        }
    }
    EXPECT_EQ(hidden, 7);
    const Material material(folder, "correct horse");
    EXPECT_EQ(slurp(folder / "encryption.key").rfind("makina-secret 1\n", 0), 0U);
    EXPECT_EQ(slurp(folder / "encryption.key").find(material.secret("encryption.key")), std::string::npos);
    // One secret cannot stand for another.
    std::filesystem::copy_file(folder / "encryption.key", folder / "another.key");
    EXPECT_EQ(words_of([&] { (void)material.secret("another.key"); }),
              (folder / "another.key").string() + ": the passphrase is wrong, or a byte has changed");
}

TEST(Pki, TellsWhatItHas) {
    const Scratch scratch;
    const Keys keys = fresh(scratch / "keys");
    std::vector<std::string> names;
    for (const KeyFact& fact : keys.facts()) {
        names.push_back(fact.name);
        const bool secret = fact.name == "encryption.key";
        EXPECT_EQ(fact.fingerprint.size(), secret ? 0U : 64U) << fact.name;
        const std::int64_t lifetime = fact.name == "signer" ? 5 * year : 20 * year;
        const bool expires = !secret && fact.name != "service-account";
        EXPECT_EQ(fact.not_after, expires ? now + lifetime : 0) << fact.name;
    }
    EXPECT_EQ(names, (std::vector<std::string>{"signing-ca", "signer", "kubernetes-ca", "etcd-ca", "front-proxy-ca",
                                               "makina-ca", "service-account", "encryption.key"}));
    const Trust trust = trust_of_keys(scratch / "keys");
    EXPECT_EQ(trust.cluster_id, keys.cluster_id());
    EXPECT_EQ(trust.anchors.size(), 1U);
    EXPECT_TRUE(trust.node.empty());
}

}  // namespace
}  // namespace makina
