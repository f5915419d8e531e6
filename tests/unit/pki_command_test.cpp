#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <nlohmann/json.hpp>

#include "builder/commands/home.hpp"
#include "builder/commands/keyring.hpp"
#include "builder/commands/recipient.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using Json = nlohmann::json;

/// The program, with a configuration folder of the test's own.
class KeysCommand : public testing::Test {
  protected:
    Result makina(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), MAKINA_IMAGE);
        return run(
            {.argv = arguments,
             .environment = {{"XDG_CONFIG_HOME", (scratch_ / "config").string()}, {"MAKINA_HOME", MAKINA_SOURCE}}});
    }
    std::string output(const std::vector<std::string>& arguments) const {
        const Result result = makina(arguments);
        EXPECT_EQ(result.status, 0) << result.errors;
        return result.output;
    }
    /// Exit code, a space, standard error.
    std::string refusal(const std::vector<std::string>& arguments) const {
        const Result result = makina(arguments);
        return std::to_string(result.status) + " " + result.errors;
    }
    [[nodiscard]] std::filesystem::path folder() const { return scratch_ / "config/makina/makina"; }
    /// worker-1's card, as `build` would issue it.
    Issued card() const {
        Keys keys(folder(), "makina", "");
        const Profile profile = clusters::pair();
        return keys.issue(recipient_of(profile, *profile.find("worker-1")), true, seconds_now(), keyrings::year,
                          "card");
    }
    Scratch scratch_;
};

TEST_F(KeysCommand, MakesTheFolderOnceAndSaysWhere) {
    const std::string first = output({"keys"});
    EXPECT_EQ(first.rfind("made the keys of the cluster makina in " + folder().string() + ", cluster id ", 0), 0U)
        << first;
    const std::string second = output({"keys"});
    EXPECT_EQ(second.rfind("there are keys of the cluster makina in " + folder().string(), 0), 0U) << second;
    EXPECT_EQ(first.substr(first.find("id "), 35), second.substr(second.find("id "), 35));
}

TEST_F(KeysCommand, ShowsFingerprintsAndWhatWasIssued) {
    EXPECT_EQ(refusal({"keys", "show"}),
              "1 makina-image: there are no keys in " + folder().string() + ": makina-image keys makes them\n");
    (void)output({"keys"});
    const std::string empty = output({"keys", "show"});
    EXPECT_NE(empty.find("\nkubernetes-ca "), std::string::npos) << empty;
    EXPECT_NE(empty.find("no bundle was issued yet"), std::string::npos);
    const Issued issued = card();
    EXPECT_NE(output({"keys", "show"}).find("worker-1          1      " + issued.card), std::string::npos);
    const Json shown = Json::parse(output({"keys", "show", "--json"}));
    EXPECT_EQ(shown["keys"].size(), 8U);
    ASSERT_EQ(shown["bundles"].size(), 1U);
    EXPECT_EQ(shown["bundles"][0]["state"], "current");
    EXPECT_EQ(shown["bundles"][0]["card"], issued.card);
    const std::string revoked = output({"keys", "revoke", "worker-1"});
    EXPECT_EQ(revoked.rfind("the card " + issued.card + " of worker-1 (epoch 1, issued ", 0), 0U) << revoked;
    EXPECT_NE(revoked.find(" to card) is noted as revoked: "), std::string::npos) << revoked;
    EXPECT_EQ(refusal({"keys", "revoke", "worker-1"}), "1 makina-image: every card of worker-1 is revoked already\n");
    EXPECT_EQ(Json::parse(output({"keys", "show", "--json"}))["bundles"][0]["state"], "revoked");
    (void)card();
    const Json later = Json::parse(output({"keys", "show", "--json"}));
    EXPECT_EQ(later["bundles"][1]["epoch"], 2);
    EXPECT_EQ(output({"keys", "show"}).find("PRIVATE"), std::string::npos);
}

TEST_F(KeysCommand, RevokesTheCardThatWasFlashedRatherThanOneThatNeverWas) {
    (void)output({"keys"});
    const Issued flashed = card();
    const auto note = [&](const Issued& issued, bool verified) {
        FlashReceipt receipt;
        receipt.node = "worker-1";
        receipt.card = issued.card;
        receipt.medium = "usb-Reader";
        receipt.sha256 = std::string(64, '0');
        receipt.verified = verified;
        receipt.time = seconds_now();
        Keys(folder(), "makina", "").note_flashed(receipt);
    };
    note(flashed, true);
    const Issued failed = card();
    note(failed, false);
    const Issued interrupted = card();
    const std::string said = output({"keys", "revoke", "worker-1"});
    EXPECT_EQ(said.rfind("the card " + flashed.card + " of worker-1 (epoch 1, issued ", 0), 0U) << said;
    EXPECT_NE(said.find(" onto usb-Reader) is noted as revoked: "), std::string::npos) << said;
    for (const Issued& newer : {failed, interrupted}) {
        EXPECT_NE(said.find("never flashed, and not revoked: the card " + newer.card), std::string::npos) << said;
    }
    // Of cards that never were flashed it is the newest, and whoever knows better names one.
    EXPECT_EQ(output({"keys", "revoke", "worker-1"}).rfind("the card " + interrupted.card, 0), 0U);
    EXPECT_EQ(output({"keys", "revoke", "worker-1", "--card", failed.card}).rfind("the card " + failed.card, 0), 0U);
}

TEST_F(KeysCommand, FinishesNoRotationThatLeavesACardBehind) {
    (void)output({"keys"});
    const auto issue = [&](const std::string& node) {
        const Profile profile = clusters::pair();
        (void)Keys(folder(), "makina", "")
            .issue(recipient_of(profile, *profile.find(node)), true, seconds_now(), keyrings::year, "card");
    };
    for (const char* const node : {"worker-1", "master-1", "gateway-1"}) issue(node);
    (void)output({"keys", "rotate"});
    const std::string refused = refusal({"keys", "rotate", "--finish"});
    EXPECT_EQ(refused.rfind("1 makina-image: the newest cards of gateway-1, master-1 and worker-1 might believe no "
                            "signer any more: hand over a bundle (makina-image bundle create --role gateway-1) and "
                            "have makina-image watch see that the node has joined with it, or write a new card "
                            "(makina-image build --role gateway-1), ",
                            0),
              0U)
        << refused;
    issue("gateway-1");
    (void)output({"bundle", "create", "--role", "master-1", "--output", (scratch_ / "makina.bundle").string()});
    const std::string in_a_drawer = refusal({"keys", "rotate", "--finish"});
    EXPECT_EQ(in_a_drawer.rfind("1 makina-image: the newest cards of master-1 and worker-1 might", 0), 0U)
        << in_a_drawer;
    const std::string id = Keys(folder(), "makina", "").cluster_id();
    EXPECT_EQ(Keys::note_taken(folder(), id, {{"master-1", "control-plane", 2}}).size(), 1U);
    EXPECT_EQ(refusal({"keys", "rotate", "--finish"}).rfind("1 makina-image: the newest card of worker-1 might", 0),
              0U);
    EXPECT_EQ(Json::parse(output({"keys", "show", "--json"}))["keys"].size(), 10U);
    EXPECT_EQ(refusal({"keys", "rotate", "--leave-behind"}).substr(0, 2), "2 ");
    (void)output({"keys", "rotate", "--finish", "--leave-behind"});
    EXPECT_EQ(Json::parse(output({"keys", "show", "--json"}))["keys"].size(), 8U);
    // A card that is revoked has not to be reached.
    (void)output({"keys", "rotate"});
    for (const char* const node : {"worker-1", "master-1", "gateway-1"}) (void)output({"keys", "revoke", node});
    (void)output({"keys", "rotate", "--finish"});
}

TEST_F(KeysCommand, NamesTheOptionOfTheBackupsPassphraseWhereThereIsNoTerminal) {
    (void)output({"keys"});
    const Result result =
        run({.argv = {"setsid", MAKINA_IMAGE, "keys", "backup", (scratch_ / "backup").string()},
             .environment = {{"XDG_CONFIG_HOME", (scratch_ / "config").string()}, {"MAKINA_HOME", MAKINA_SOURCE}}});
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.errors.find(": say --backup-passphrase-file\n"), std::string::npos) << result.errors;
}

TEST_F(KeysCommand, RefusesAPassphraseThatHasNoUseBeforeABaseIsMade) {
    (void)output({"keys"});
    const auto file = scratch_.write("passphrase", "correct horse\n").string();
    EXPECT_EQ(refusal({"build", "--role", "worker-1", "--passphrase-file", file, "--output", scratch_ / "out"}),
              "2 the keys in " + folder().string() + " have no passphrase: say none\n");
    EXPECT_EQ(refusal({"check", "nope.yaml"}).substr(0, 20), "2 reading nope.yaml:");
    EXPECT_EQ(refusal({"check", "--json", "nope.yaml"}).substr(0, 20), "2 reading nope.yaml:");
}

TEST_F(KeysCommand, RotatesInTwoSteps) {
    (void)output({"keys"});
    EXPECT_EQ(refusal({"keys", "rotate", "--compromised"}).substr(0, 2), "2 ");
    EXPECT_EQ(refusal({"keys", "rotate", "--finish"}),
              "1 makina-image: there is no rotation to finish: makina-image keys rotate begins one\n");
    (void)output({"keys", "rotate"});
    EXPECT_EQ(Json::parse(output({"keys", "show", "--json"}))["keys"].size(), 10U);
    (void)output({"keys", "rotate", "--finish", "--compromised"});
    EXPECT_EQ(Json::parse(output({"keys", "show", "--json"}))["keys"].size(), 8U);
}

TEST_F(KeysCommand, BacksUpAndRestores) {
    const auto passphrase = scratch_.write("passphrase", "of the backup\nsecond line\n");
    const std::vector<std::string> by = {"--backup-passphrase-file", passphrase.string()};
    const auto with = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.end(), by.begin(), by.end());
        return arguments;
    };
    (void)output({"keys"});
    const auto file = (scratch_ / "backup").string();
    (void)output(with({"keys", "backup", file}));
    EXPECT_EQ(refusal(with({"keys", "backup", file})), "2 " + file + " exists already\n");
    EXPECT_EQ(refusal(with({"keys", "restore", file})), "2 there are keys in " + folder().string() + " already\n");
    const auto other = (scratch_ / "again").string();
    (void)output(with({"keys", "restore", file, "--keys", other + "/"}));
    EXPECT_EQ(slurp(other + "/cluster"), slurp(folder() / "cluster"));
    scratch_.write("passphrase", "wrong\n");
    EXPECT_EQ(refusal(with({"keys", "restore", file, "--keys", (scratch_ / "third").string()})),
              "1 makina-image: " + file + ": the passphrase is wrong, or a byte has changed\n");
    scratch_.write("passphrase", "\n");
    EXPECT_EQ(refusal(with({"keys", "restore", file, "--keys", (scratch_ / "third").string()})),
              "2 " + passphrase.string() + " has no passphrase of 1 to 1024 characters on its first line\n");
}

TEST_F(KeysCommand, BacksUpWhatItNamesAndRestoresItOnlyUnderItsOwnName) {
    std::string text = slurp(std::string(MAKINA_SOURCE) + "/profiles/makina.yaml");
    text.replace(text.find("name: makina"), 12, "name: attic");
    const auto attic = scratch_.write("my attic.yaml", text).string();
    const auto passphrase = scratch_.write("passphrase", "of the backup\n").string();
    const std::string made = output({"keys", "--profile", attic});
    EXPECT_NE(made.find("makina-image keys backup FILE --profile '" + attic + "' makes a copy\n"), std::string::npos)
        << made;
    const auto file = (scratch_ / "backup").string();
    const std::string said =
        output({"keys", "backup", file, "--profile", attic, "--backup-passphrase-file", passphrase});
    EXPECT_EQ(said.rfind("wrote " + file + ": the keys of the cluster attic (id ", 0), 0U) << said;
    EXPECT_NE(said.find(") in " + (scratch_ / "config/makina/attic").string() + "; "), std::string::npos) << said;
    EXPECT_EQ(refusal({"keys", "restore", file, "--backup-passphrase-file", passphrase}),
              "1 makina-image: " + file +
                  ": it has the keys of the cluster attic, not of makina: say --profile FILE with that of attic\n");
    EXPECT_FALSE(std::filesystem::exists(folder()));
}

/// sudo makes us root and HOME root's own. What is tested needs to be root.
class Sudo : public KeysCommand {
  protected:
    void SetUp() override {
        if (geteuid() != 0) GTEST_SKIP() << "only root can be what sudo makes";
    }
    Result by_sudo(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {"env", "-u", "XDG_CONFIG_HOME", "-u", "XDG_CACHE_HOME", MAKINA_IMAGE});
        return run({.argv = arguments,
                    .environment = {{"HOME", "/root"}, {"SUDO_UID", "65534"}, {"MAKINA_HOME", MAKINA_SOURCE}}});
    }
};

TEST_F(Sudo, LooksForTheKeysOfWhoCalledIt) {
    EXPECT_EQ(by_sudo({"keys", "show"}).errors,
              "makina-image: there are no keys in /nonexistent/.config/makina/makina: makina-image keys makes them\n");
    const Result named = by_sudo({"keys", "show", "--keys", folder().string()});
    EXPECT_NE(named.errors.find("no keys in " + folder().string()), std::string::npos) << named.errors;
}

TEST_F(Sudo, LeavesEveryFileToTheOwnerOfTheFolder) {
    ASSERT_EQ(chown(scratch_.path().c_str(), 65534, 65534), 0);
    (void)output({"keys"});
    (void)card();
    (void)output({"keys", "rotate"});
    std::size_t seen = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch_ / "config")) {
        struct stat facts {};
        ASSERT_EQ(lstat(entry.path().c_str(), &facts), 0);
        EXPECT_EQ(facts.st_uid, 65534U) << entry.path();
        ++seen;
    }
    EXPECT_GT(seen, 10U);
    // Without sudo they can be used afterwards.
    const std::string words = in_child([&] {
        become_nobody();
        return std::to_string(Keys(folder(), "makina", "").ledger().size());
    });
    EXPECT_EQ(words, "1");
}

TEST_F(Sudo, GivesTheCacheToWhoCalledIt) {
    const auto home = scratch_ / "home";
    const auto passwd = scratch_.write("passwd",
                                       "root:x:0:0:root:/root:/bin/sh\n"
                                       "anna:x:4321:4321::" +
                                           home.string() + ":/bin/sh\n");
    scratch_.write("home/.cache/makina/locks/names", "");
    scratch_.write("home/.cache/makina/bases/x.part/etc/passwd", "another build's");
    scratch_.write("home/of-root", "");
    scratch_.write("home/kept/by sudo -E", "");
    const auto owner = [](const std::filesystem::path& path) {
        struct stat facts {};
        return ::stat(path.c_str(), &facts) == 0 ? facts.st_uid : 1;
    };
    const std::string found = in_child([&]() -> std::string {
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount(passwd.c_str(), "/etc/passwd", nullptr, MS_BIND, nullptr) != 0)
            return "no mount";
        setenv("SUDO_UID", "4321", 1);
        setenv("HOME", "/elsewhere", 1);
        if (home_folder() != "/elsewhere") return "a HOME that was chosen is not taken";
        setenv("HOME", "/root", 1);
        give_to_invoker(home_folder() / ".cache/makina");
        setenv("HOME", home.c_str(), 1);
        give_to_invoker(home / "kept");
        give_to_invoker(scratch_.path());
        return home_folder().string();
    });
    if (found == "no mount") GTEST_SKIP() << "nothing can be mounted here";
    EXPECT_EQ(found, home.string());
    for (const char* const its : {".cache", ".cache/makina", ".cache/makina/locks/names", ".cache/makina/bases"}) {
        EXPECT_EQ(owner(home / its), 4321U) << its;
    }
    EXPECT_EQ(owner(home / ".cache/makina/bases/x.part/etc/passwd"), 0U);
    EXPECT_EQ(owner(home / "kept/by sudo -E"), 4321U);
    EXPECT_EQ(owner(home / "of-root"), 0U);
    EXPECT_EQ(owner(scratch_.path()), 0U);
}

TEST_F(KeysCommand, MakesNoKeysForACardThatReplacesAnother) {
    const std::string refused = refusal({"replace", "worker-1", "--output", (scratch_ / "out").string()});
    EXPECT_EQ(refused.rfind("1 makina-image: ", 0), 0U) << refused;
    EXPECT_NE(refused.find("there are no keys of the cluster makina in " + folder().string() +
                           ": a node is replaced with the keys that its cluster has"),
              std::string::npos)
        << refused;
    EXPECT_FALSE(std::filesystem::exists(folder()));
}

TEST_F(KeysCommand, TakesAPassphraseFromAFileAndNeverFromTheCommandLine) {
    const auto file = scratch_.write("passphrase", "correct horse\n").string();
    (void)output({"keys", "--passphrase-file", file});
    EXPECT_EQ(keys_folder(folder()), KeysFolder::encrypted);
    EXPECT_EQ(output({"keys", "--passphrase-file", file}).rfind("there are keys", 0), 0U);
    scratch_.write("passphrase", "wrong horse\n");
    EXPECT_EQ(refusal({"keys", "show", "--passphrase-file", file}),
              "1 makina-image: " + (folder() / "signing-1/signer.key").string() + ": the passphrase is wrong\n");
    EXPECT_EQ(refusal({"keys", "--passphrase", "correct horse"}).substr(0, 2), "2 ");
    EXPECT_EQ(refusal({"keys", "show", "--passphrase=correct horse"}).substr(0, 2), "2 ");
    (void)output({"keys", "--keys", (scratch_ / "plain").string()});
    EXPECT_EQ(refusal({"keys", "show", "--keys", (scratch_ / "plain").string(), "--passphrase-file", file}),
              "2 the keys in " + (scratch_ / "plain").string() + " have no passphrase: say none\n");
}

TEST_F(KeysCommand, HandsABundleOver) {
    (void)output({"keys"});
    const std::string file = (scratch_ / "makina.bundle").string();
    const std::vector<std::string> create = {"bundle", "create", "--role", "worker-1", "--output", file};
    EXPECT_EQ(refusal(create), "1 makina-image: worker-1 has no card yet: build its image first\n");
    EXPECT_FALSE(std::filesystem::exists(file));
    const Issued issued = card();
    const std::string nowhere = (scratch_ / "nodir/x").string();
    EXPECT_EQ(refusal({"bundle", "create", "--role", "worker-1", "--output", nowhere}),
              "2 --output " + nowhere + ": there is no folder " + (scratch_ / "nodir").string() + "\n");
    const auto trust = scratch_.write("trust", issued.trust).string();
    (void)output(create);
    struct stat facts {};
    ASSERT_EQ(stat(file.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 07777, 0600U);
    EXPECT_EQ(refusal(create), "2 " + file + " exists already: a bundle overwrites nothing\n");
    EXPECT_EQ(refusal({"bundle", "create", "--role", "worker-1", "--valid-days", "0"}),
              "2 --valid-days is not from 1 to 3650\n");
    EXPECT_EQ(Json::parse(output({"keys", "show", "--json"}))["bundles"].size(), 2U)
        << "what was refused took no epoch";

    EXPECT_EQ(output({"bundle", "verify", file})
                  .rfind(file + ": verified against the keys in " + folder().string() +
                             "; for worker-1, worker of makina, epoch 2, until ",
                         0),
              0U);
    EXPECT_EQ(output({"bundle", "verify", file, "--trust", trust})
                  .rfind(file + ": verified against " + trust + " of worker-1; ", 0),
              0U);
    const std::string shown = output({"bundle", "show", file});
    EXPECT_NE(shown.find("\nseal          verified against the keys in "), std::string::npos) << shown;
    EXPECT_NE(shown.find("\ncard          " + issued.card + "\n"), std::string::npos);
    EXPECT_NE(shown.find("\ngenesis       only joins\n"), std::string::npos) << shown;
    EXPECT_NE(shown.find("\npayload       kubelet.key, "), std::string::npos);
    EXPECT_EQ(shown.find("BEGIN"), std::string::npos) << "never a payload's bytes";
    const Json json = Json::parse(output({"bundle", "show", file, "--json"}));
    EXPECT_EQ(json["verified"], true);
    EXPECT_EQ(json["bundle"]["node"], "worker-1");
    EXPECT_EQ(json["payloads"].size(), 7U);
}

TEST_F(KeysCommand, ShowsWhetherACardMayBeginTheCluster) {
    (void)output({"keys"});
    const Profile profile = clusters::pair();
    const auto shown = [&] {
        const std::string sealed =
            Keys(folder(), "makina", "")
                .issue(recipient_of(profile, *profile.find("master-1")), true, seconds_now(), keyrings::year, "card")
                .sealed;
        const auto file = scratch_.write("makina.bundle", sealed).string();
        EXPECT_TRUE(Json::parse(output({"bundle", "show", "--json", file}))["bundle"].contains("genesis"));
        const std::string text = output({"bundle", "show", file});
        const std::size_t at = text.find("\ngenesis       ") + 15;
        return text.substr(at, text.find('\n', at) - at);
    };
    EXPECT_EQ(shown(), "may begin the cluster");
    EXPECT_EQ(shown(), "may begin the cluster, an earlier card of this node could too");
    Keys(folder(), "makina", "").note_formed("control-plane", seconds_now());
    EXPECT_EQ(shown(), "only joins");
}

TEST_F(KeysCommand, ShowsNothingOfABundleThatItCannotBelieve) {
    (void)output({"keys"});
    const auto file = scratch_.write("makina.bundle", card().sealed).string();
    (void)output({"keys", "--keys", (scratch_ / "other").string()});
    const Result shown = makina({"bundle", "show", file, "--keys", (scratch_ / "other").string()});
    EXPECT_EQ(shown.status, 1);
    EXPECT_NE(
        shown.output.find("\nseal          NOT VERIFIED against the keys in " + (scratch_ / "other").string() + ": "),
        std::string::npos);
    EXPECT_EQ(shown.output.find("worker-1"), std::string::npos);
    const Json json =
        Json::parse(makina({"bundle", "show", file, "--json", "--keys", (scratch_ / "other").string()}).output);
    EXPECT_EQ(json["verified"], false);
    EXPECT_FALSE(json.contains("bundle"));
    const std::string refused = refusal({"bundle", "verify", file, "--keys", (scratch_ / "other").string()});
    EXPECT_EQ(refused.rfind("1 makina-image: " + file + " is not verified against the keys in " +
                                (scratch_ / "other").string() + ": ",
                            0),
              0U)
        << refused;
    EXPECT_EQ(refusal({"bundle", "verify", file, "--keys", (scratch_ / "none").string()}),
              "1 makina-image: " + file + " is not verified against the keys in " + (scratch_ / "none").string() +
                  ": there are no keys: say --trust FILE or --keys FOLDER\n");
    scratch_.write("large", std::string((1 << 20) + 1, 'x'));
    EXPECT_EQ(refusal({"bundle", "verify", (scratch_ / "large").string()}),
              "1 makina-image: " + (scratch_ / "large").string() + " is larger than 1048576 bytes\n");
}

TEST_F(KeysCommand, RefusesABundleThatIsTooLateOrTooEarly) {
    (void)output({"keys"});
    const Profile profile = clusters::pair();
    const Recipient to = recipient_of(profile, *profile.find("worker-1"));
    Keys keys(folder(), "makina", "");
    const std::int64_t now = seconds_now();
    const auto late = scratch_.write("late", keys.issue(to, true, now - 3600, 1800, "x").sealed).string();
    const auto early = scratch_.write("early", keys.issue(to, true, now + 86400, 1800, "x").sealed).string();
    EXPECT_EQ(refusal({"bundle", "verify", late}),
              "1 makina-image: " + late + " has a good seal, but it expired " + date_of(now - 1800) + "\n");
    EXPECT_EQ(refusal({"bundle", "verify", early}), "1 makina-image: " + early +
                                                        " has a good seal, but it is not valid yet: issued " +
                                                        date_of(now + 86400) + "\n");
}

/// Types lines at the prompts of a program that has a terminal of its own; gives what the terminal showed and the exit
/// code.
std::string typed(const std::vector<std::string>& lines, const std::vector<std::string>& argv) {
    int terminal = -1;
    const pid_t pid = forkpty(&terminal, nullptr, nullptr, nullptr);
    if (pid < 0) throw std::runtime_error("cannot make a terminal");
    if (pid == 0) {
        std::vector<char*> words;
        words.reserve(argv.size() + 1);
        for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
        words.push_back(nullptr);
        execv(words[0], words.data());
        _exit(127);
    }
    const Descriptor owned(terminal);
    std::string shown;
    std::size_t next = 0;
    std::size_t answered = 0;
    for (;;) {
        std::array<char, 512> buffer{};
        pollfd ready{terminal, POLLIN, 0};
        if (poll(&ready, 1, 60000) <= 0) break;
        const ssize_t count = read(terminal, buffer.data(), buffer.size());
        if (count <= 0) break;
        shown.append(buffer.data(), static_cast<std::size_t>(count));
        // A prompt is what ends in a colon and a space; the terminal is told to hide before it is read.
        if (next < lines.size() && shown.size() > answered && shown.compare(shown.size() - 2, 2, ": ") == 0) {
            answered = shown.size();
            if (write(terminal, lines[next].data(), lines[next].size()) < 0) break;
            ++next;
        }
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return shown + "exit " + std::to_string(WIFEXITED(status) ? WEXITSTATUS(status) : 128);
}

TEST_F(KeysCommand, AsksForAPassphraseWithoutShowingIt) {
    const auto profile = std::string(MAKINA_SOURCE) + "/profiles/makina.yaml";
    const auto keys = [&](std::vector<std::string> more) {
        std::vector<std::string> argv = {MAKINA_IMAGE, "keys"};
        argv.insert(argv.end(), more.begin(), more.end());
        argv.insert(argv.end(), {"--profile", profile, "--keys", folder().string()});
        return argv;
    };
    const std::string different = typed({"correct horse\n", "other\n"}, keys({"--passphrase"}));
    EXPECT_NE(different.find("two different passphrases were typed"), std::string::npos) << different;
    EXPECT_NE(typed({"\x03"}, keys({"--passphrase"})).find("interrupted\r\nexit 2"), std::string::npos);
    EXPECT_NE(typed({"\n"}, keys({"--passphrase"})).find("no passphrase was typed\r\nexit 2"), std::string::npos);
    EXPECT_EQ(keys_folder(folder()), KeysFolder::missing);
    const std::string made = typed({"correct horse\n", "correct horse\n"}, keys({"--passphrase"}));
    EXPECT_NE(made.find("made the keys"), std::string::npos) << made;
    EXPECT_EQ(made.find("horse"), std::string::npos) << made;
    const std::string shown = typed({"correct horse\n"}, keys({"show"}));
    EXPECT_NE(shown.find("kubernetes-ca"), std::string::npos) << shown;
    EXPECT_NE(typed({"wrong\n"}, keys({"show"})).find("the passphrase is wrong"), std::string::npos);
}

TEST(RecipientOf, SaysWhatTheProfileSays) {
    Profile profile = clusters::pair();
    const Recipient master = recipient_of(profile, *profile.find("master-1"));
    EXPECT_EQ(master.header.address, "192.168.3.251/24");
    EXPECT_EQ(master.header.api, "192.168.3.240:9000");
    EXPECT_EQ(master.header.role, "control-plane");
    EXPECT_EQ(master.header.interface, "");
    EXPECT_EQ(master.api_names, (std::vector<std::string>{"kubernetes", "kubernetes.default", "kubernetes.default.svc",
                                                          "kubernetes.default.svc.cluster.local", "kubernetes-api",
                                                          "master-1", "api.home.arpa"}));
    EXPECT_EQ(master.api_addresses, (std::vector<std::string>{"10.96.0.1", "192.168.3.251", "192.168.3.240"}));
    EXPECT_EQ(master.admin_group, "kubeadm:cluster-admins");
    EXPECT_FALSE(master.external_etcd || master.offline);
    EXPECT_EQ(recipient_of(profile, *profile.find("gateway-1")).header.interface, profile.gateway.inside);
    profile.kubernetes.version = {1, 28, 15};
    profile.pki = Pki::offline;
    profile.api.names = {"192.168.3.240", "10.0.0.7"};
    const Recipient older = recipient_of(profile, *profile.find("master-1"));
    EXPECT_EQ(older.admin_group, "system:masters");
    EXPECT_TRUE(older.offline);
    EXPECT_EQ(older.api_addresses,
              (std::vector<std::string>{"10.96.0.1", "192.168.3.251", "192.168.3.240", "10.0.0.7"}));
    const Profile external = clusters::external_etcd();
    EXPECT_TRUE(recipient_of(external, *external.find("master-1")).external_etcd);
}

/// What openssl says of the client's certificate in a kubeconfig.
std::string certificate_in(const std::string& kubeconfig) {
    const std::string key = "client-certificate-data: ";
    const std::size_t at = kubeconfig.find(key) + key.size();
    const std::string pem = from_base64(kubeconfig.substr(at, kubeconfig.find('\n', at) - at));
    return run_checked({.argv = {"openssl", "x509", "-noout", "-subject", "-ext", "extendedKeyUsage"}, .input = pem});
}

TEST_F(KeysCommand, IssuesAKubeconfigForAnAdministratorAndForOthers) {
    (void)output({"keys"});
    const std::string file = scratch_ / "kubeconfig";
    const std::string said = output({"kubeconfig", "--output", file});
    EXPECT_EQ(said.rfind(file + ": kubernetes-admin of the group kubeadm:cluster-admins, https://192.168.3.240:", 0),
              0U)
        << said;
    struct stat facts {};
    ASSERT_EQ(::stat(file.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777U, 0600U);
    const std::string text = slurp(file);
    EXPECT_NE(text.find("certificate-authority-data: " + to_base64(slurp(folder() / "kubernetes-ca.crt"))),
              std::string::npos);
    EXPECT_NE(certificate_in(text).find("O = kubeadm:cluster-admins, CN = kubernetes-admin\n"), std::string::npos)
        << certificate_in(text);
    EXPECT_NE(certificate_in(text).find("TLS Web Client Authentication\n"), std::string::npos);
    // It is never written over.
    EXPECT_EQ(refusal({"kubeconfig", "--output", file}),
              "2 " + file + " exists already: choose another --output, or remove it\n");
    EXPECT_EQ(slurp(file), text);
    // As ~/.kube/config, where no kubectl ever was.
    (void)output({"kubeconfig", "--output", (scratch_ / ".kube/config").string()});
    ASSERT_EQ(::stat((scratch_ / ".kube").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 07777U, 0700U);

    const std::string other = scratch_ / "anna";
    (void)output({"kubeconfig", "--user", "anna", "--group", "developers", "--days", "30", "--output", other});
    EXPECT_NE(certificate_in(slurp(other)).find("O = developers, CN = anna\n"), std::string::npos);
}

TEST_F(KeysCommand, IssuesNoKubeconfigForKubernetesOwnParts) {
    (void)output({"keys"});
    const std::string file = scratch_ / "kubeconfig";
    for (const std::vector<std::string>& wrong : std::vector<std::vector<std::string>>{
             {"--user", "system:node:worker-1"}, {"--user", "a b"}, {"--group", "/"}, {"--days", "0"}}) {
        std::vector<std::string> arguments = {"kubeconfig", "--output", file};
        arguments.insert(arguments.end(), wrong.begin(), wrong.end());
        EXPECT_EQ(refusal(arguments).rfind("2 --", 0), 0U) << wrong[1] << refusal(arguments);
    }
    EXPECT_FALSE(std::filesystem::exists(file));
}

}  // namespace
}  // namespace makina
