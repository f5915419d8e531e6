#include <gtest/gtest.h>
#include <sys/stat.h>

#include "builder/pki/envelope.hpp"
#include "builder/pki/folder.hpp"
#include "builder/pki/packed.hpp"
#include "firstboot/bundle/error.hpp"
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

constexpr std::string_view kind = "makina-keys-backup 1\n";

/// A backup whose content is this, as somebody who knows the passphrase could make it.
std::filesystem::path forged(const Scratch& scratch, const std::string& content) {
    auto file = scratch / "forged";
    std::filesystem::remove(file);
    write_new(file, std::string(kind) + put_in_envelope(content, kind, "pass"));
    return file;
}

TEST(Backup, PutsEverythingBack) {
    const Scratch scratch;
    Keys keys = fresh(scratch / "keys", "of the keys");
    const Recipient to = recipient("gateway-1", "gateway");
    const Issued before = keys.issue(to, true, now, year, "a");
    keys.rotate_signer(now);
    keys.backup(scratch / "backup", "of the backup");
    const Issued unknown = keys.issue(to, false, now, year, "b");
    struct stat facts {};
    ASSERT_EQ(stat((scratch / "backup").c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 07777, 0600U);
    EXPECT_EQ(slurp(scratch / "backup").rfind(kind, 0), 0U);
    EXPECT_EQ(slurp(scratch / "backup").find("PRIVATE KEY"), std::string::npos);
    restore_keys(scratch / "backup", scratch / "again", "makina", "of the backup");
    for (const auto& entry : std::filesystem::recursive_directory_iterator(scratch / "keys")) {
        const auto path = entry.path().lexically_relative(scratch / "keys");
        if (entry.is_directory() || path == "ledger") continue;
        EXPECT_EQ(slurp(scratch / "again" / path), slurp(entry.path())) << path;
    }
    Keys again(scratch / "again", "makina", "of the keys");
    EXPECT_EQ(again.cluster_id(), keys.cluster_id());
    EXPECT_EQ(again.ledger().size(), 1U);
    // What was issued after the backup is in nobody's ledger, but no epoch comes twice.
    const Issued after = again.issue(to, false, now, year, "c");
    EXPECT_EQ(unknown.epoch, 2U);
    EXPECT_EQ(after.epoch, 102U);
    EXPECT_TRUE(open_sealed(after.sealed, decode_trust(before.trust)).bundle.epoch == 102U);
}

TEST(Backup, OverwritesNothing) {
    const Scratch scratch;
    const Keys keys = fresh(scratch / "keys");
    scratch.write("backup", "mine");
    EXPECT_EQ(words_of([&] { keys.backup(scratch / "backup", "pass"); }),
              "making " + (scratch / "backup").string() + ": file exists");
    EXPECT_EQ(slurp(scratch / "backup"), "mine");
    keys.backup(scratch / "good", "pass");
    EXPECT_EQ(words_of([&] { restore_keys(scratch / "good", scratch / "keys", "makina", "pass"); }),
              (scratch / "keys").string() + " exists already: keys are never overwritten");
    EXPECT_EQ(words_of([&] { keys.backup(scratch / "other", ""); }), "a backup needs a passphrase");
    EXPECT_FALSE(std::filesystem::exists(scratch / "other"));
}

TEST(Backup, IsRefusedWithAnotherPassphraseAndWhenAnyPartHasChanged) {
    const Scratch scratch;
    { fresh(scratch / "keys").backup(scratch / "backup", "pass"); }
    const std::string whole = slurp(scratch / "backup");
    const std::string refused = ": the passphrase is wrong, or a byte has changed";
    const auto words = [&](const std::string& content, const std::string& passphrase) {
        std::filesystem::remove(scratch / "changed");
        write_new(scratch / "changed", content);
        return words_of([&] { restore_keys(scratch / "changed", scratch / "again", "makina", passphrase); });
    };
    const std::string name = (scratch / "changed").string();
    EXPECT_EQ(words(whole, "Pass"), name + refused);
    // Header, salt, nonce, text, tag: each bit of the envelope counts.
    for (const std::size_t at : {kind.size(), kind.size() + 16, kind.size() + 28, whole.size() / 2, whole.size() - 1}) {
        std::string changed = whole;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        EXPECT_EQ(words(changed, "pass"), name + refused) << at;
    }
    EXPECT_EQ(words(whole.substr(0, whole.size() - 1), "pass"), name + refused);
    EXPECT_EQ(words(whole + "x", "pass"), name + refused);
    EXPECT_EQ(words(whole.substr(0, kind.size() + 20), "pass"), name + ": it is too short");
    EXPECT_EQ(words("MAKINA" + whole, "pass"), name + " is no backup of keys");
    EXPECT_FALSE(std::filesystem::exists(scratch / "again"));
    EXPECT_EQ(words(whole, "pass"), "nothing");
}

TEST(Backup, NeverWritesOutsideItsFolder) {
    const Scratch scratch;
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"file ../evil 1\nend\nx", "no path and size of a file, line 1"},
        {"file /etc/evil 1\nend\nx", "no path and size of a file, line 1"},
        {"file a/b/c 1\nend\nx", "no path and size of a file, line 1"},
        {"file .hidden 1\nend\nx", "no path and size of a file, line 1"},
        {"file a/.. 1\nend\nx", "no path and size of a file, line 1"},
        {"file a 01\nend\nx", "no path and size of a file, line 1"},
        {"file a\nend\nx", "no path and size of a file, line 1"},
        {"file b 1\nfile a 1\nend\nxy", "the paths do not ascend, line 2"},
        {"file a 2\nend\nx", "a ends early, line 2"},
        {"file a 1\nend\nxy", "bytes that no file accounts for, line 2"},
        {"file a 1\n", "a line without its end, line 2"}};
    for (const auto& [content, words] : rows) {
        EXPECT_EQ(words_of([&, &refused = content] { (void)unpacked(refused); }), words) << content;
    }
    const auto file = forged(scratch, rows[0].first);
    EXPECT_EQ(words_of([&] { restore_keys(file, scratch / "again", "makina", "pass"); }),
              file.string() + ": " + rows[0].second);
    EXPECT_EQ(names_in(scratch.path()), "forged ");
    EXPECT_EQ(words_of([&] {
                  (void)packed({{"Notes.txt", ""}});
              }),
              "Notes.txt is none of the keys' files: take it out of the folder");
}

TEST(BackupEnvelope, OpensForItsOwnKindOnly) {
    const std::string envelope = put_in_envelope("secret", "one", "pass");
    EXPECT_EQ(open_envelope(envelope, "one", "pass"), "secret");
    EXPECT_EQ(words_of([&] { (void)open_envelope(envelope, "two", "pass"); }),
              "the passphrase is wrong, or a byte has changed");
    EXPECT_NE(put_in_envelope("secret", "one", "pass"), envelope);
}

}  // namespace
}  // namespace makina
