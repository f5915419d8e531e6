#include <gtest/gtest.h>

#include "builder/pki/folder.hpp"
#include "builder/pki/ledger.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using keyrings::fresh;
using keyrings::words_of;

const std::string hex64(64, 'a');
const std::string hex32(32, 'b');

/// A line of the ledger with one of its words replaced; the words are counted from 1.
std::string line(std::size_t word = 0, const std::string& with = "") {
    std::vector<std::string> words = {
        "bundle", "worker-1", "1",     "worker",          hex32, "1000", "2000", hex64, hex64,
        "4c",     hex64,      "valid", "out/worker-1.img"};
    if (word > 0) words[word] = with;
    std::string text;
    for (const std::string& each : words) text += (text.empty() ? "" : " ") + each;
    return text + "\n";
}

std::string ledger_of(const std::string& lines) {
    return "makina-ledger 1\n" + lines + "end\n";
}

TEST(Ledger, ReadsWhatItWrote) {
    const std::string two = ledger_of(line() + "restored 100\n" + line(2, "102") + line(1, "lb-1"));
    const Ledger ledger = decode_ledger(two);
    ASSERT_EQ(ledger.entries.size(), 3U);
    EXPECT_EQ(ledger.restored, std::vector<std::size_t>{1});
    EXPECT_EQ(ledger.entries[0].target, "out/worker-1.img");
    EXPECT_EQ(encode(ledger), two);
    EXPECT_EQ(encode(decode_ledger(ledger_of(""))), ledger_of(""));
}

TEST(Ledger, RemembersWhatHasFormedAndTheNewestFormation) {
    const std::string text =
        ledger_of(line() + line(2, "2") + "formation " + hex32 + " 1\nfounders control-plane a,b\n" +
                  "founders etcd c\nformed control-plane 5\nformed etcd 7\ntaken lb-1 3\ntaken worker-1 2\n");
    const Ledger ledger = decode_ledger(text);
    EXPECT_EQ(ledger.formation, hex32);
    EXPECT_EQ(ledger.formation_from, 1U);
    EXPECT_EQ(ledger.founders,
              (std::map<std::string, std::vector<std::string>>{{"control-plane", {"a", "b"}}, {"etcd", {"c"}}}));
    EXPECT_EQ(ledger.formed, (std::map<std::string, std::int64_t>{{"control-plane", 5}, {"etcd", 7}}));
    EXPECT_EQ(ledger.taken, (std::map<std::string, std::uint64_t>{{"lb-1", 3}, {"worker-1", 2}}));
    EXPECT_EQ(encode(ledger), text);
    EXPECT_EQ(ledger.snapshot, "");
    const std::string restored = ledger_of("formation " + hex32 + " 0 " + hex64 + "\n");
    EXPECT_EQ(decode_ledger(restored).snapshot, hex64);
    EXPECT_EQ(encode(decode_ledger(restored)), restored);
    for (const auto& [lines, words] : std::vector<std::pair<std::string, std::string>>{
             {"formation x 0\n", "a formation is 32 lower-case hex digits and how many bundles were before it, line 2"},
             {"formation " + hex32 + " 1\n",
              "a formation is 32 lower-case hex digits and how many bundles were before it, line 2"},
             {"formation " + hex32 + " 0 x\n", "a snapshot is not 64 lower-case hex digits, line 2"},
             {"formation " + hex32 + " 0 " + hex64 + " y\n",
              "a formation is 32 lower-case hex digits and how many bundles were before it, line 2"},
             {"founders etcd\n", "the founders are a role and names, line 2"},
             {"founders king a\n", "the founders are a role and names, line 2"},
             {"founders etcd a,\n", "the founders are no names, or do not ascend, line 2"},
             {"founders etcd b,a\n", "the founders are no names, or do not ascend, line 2"},
             {"founders etcd a\nfounders etcd b\n", "the roles do not ascend, line 3"},
             {"formed etcd 1\nfounders etcd a\n", "\"end\" is expected, line 3"},
             {"formed king 1\n", "what has formed is a role and a time, line 2"},
             {"formed etcd soon\n", "the forming is no time, line 2"},
             {"formed etcd 1\nformed etcd 2\n", "the roles do not ascend, line 3"},
             {"taken worker-1\n", "what was taken is a node and an epoch, line 2"},
             {"taken worker-1 0\n", "what was taken is a node and an epoch, line 2"},
             {"taken Worker 1\n", "what was taken is a node and an epoch, line 2"},
             {"taken worker-1 1\ntaken lb-1 1\n", "the nodes do not ascend, line 3"},
             {"taken lb-1 1\nformed etcd 1\n", "\"end\" is expected, line 3"},
             {"formed etcd 1\n" + line(), "\"end\" is expected, line 3"}}) {
        try {
            (void)decode_ledger(ledger_of(lines));
            ADD_FAILURE() << lines;
        } catch (const Error& error) {
            EXPECT_EQ(error.what(), words);
        }
    }
}

TEST(Ledger, KnowsWhetherANodeHadAnotherCardInThisFormation) {
    Ledger ledger = decode_ledger(ledger_of(line()));
    EXPECT_FALSE(had_another_card(ledger, "worker-1", hex32));
    EXPECT_TRUE(had_another_card(ledger, "worker-1", std::string(32, 'c')));
    EXPECT_FALSE(had_another_card(ledger, "worker-2", hex32));
    ledger.formation_from = 1;
    EXPECT_FALSE(had_another_card(ledger, "worker-1", std::string(32, 'c')));
    // What the backup does not know may have been issued.
    ledger.restored = {1};
    EXPECT_TRUE(had_another_card(ledger, "worker-2", hex32));
}

TEST(Ledger, WritesAnyNameOfAFile) {
    Ledger ledger = decode_ledger(ledger_of(line()));
    for (const std::string& target :
         {std::string("a b%20c"), std::string("zwei\nZeilen"), std::string("käse.img"), std::string("\xff\x01%")}) {
        ledger.entries[0].target = target;
        EXPECT_EQ(decode_ledger(encode(ledger)).entries[0].target, target);
    }
}

TEST(Ledger, RefusesEveryLineThatItWouldNotWrite) {
    const std::vector<std::pair<std::string, std::string>> rows = {
        {"", "a line without its end, line 1"},
        {"makina-ledger 2\nend\n", "\"makina-ledger 1\" is expected, line 1"},
        {"makina-ledger 1\n", "a line without its end, line 2"},
        {ledger_of("bundle a b\n"), "a bundle has 12 words, line 2"},
        {ledger_of(line(12, "a b")), "a bundle has 12 words, line 2"},
        {ledger_of(line(1, "Worker")), "the node is no name, line 2"},
        {ledger_of(line(2, "0")), "the epoch is no number from 1, line 2"},
        {ledger_of(line(2, "01")), "the epoch is no number from 1, line 2"},
        {ledger_of(line(3, "butler")), "a role that nobody has, line 2"},
        {ledger_of(line(4, "abc")), "the card is not 32 lower-case hex digits, line 2"},
        {ledger_of(line(5, "-1")), "the issue is no time, line 2"},
        {ledger_of(line(6, "9223372036854775808")), "the expiry is no time, line 2"},
        {ledger_of(line(6, "1000")), "the expiry is not after the issue, line 2"},
        {ledger_of(line(7, std::string(64, 'G'))), "the signer is not 64 lower-case hex digits, line 2"},
        {ledger_of(line(8, hex64 + ",")), "an anchor is not 64 lower-case hex digits, line 2"},
        {ledger_of(line(9, "XY")), "the certificate is no serial number in lower-case hex digits, line 2"},
        {ledger_of(line(10, hex32)), "the SHA-256 is not 64 lower-case hex digits, line 2"},
        {ledger_of(line(11, "good")), "a bundle is valid or revoked, line 2"},
        {ledger_of(line(12, "%2")), "the target is not in the one way to write it, line 2"},
        {ledger_of(line(12, "%61")), "the target is not in the one way to write it, line 2"},
        {ledger_of(line(12, "%0a")), "the target is not in the one way to write it, line 2"},
        {ledger_of(line() + line()), "the epochs of worker-1 do not ascend, line 3"},
        {ledger_of(line(2, "7") + line(2, "6")), "the epochs of worker-1 do not ascend, line 3"},
        {ledger_of(line() + "restored 99\n"), "\"restored\" is no number from 100 to 100 in its shortest form, line 3"},
        {ledger_of(line()) + "more\n", "something else follows the last line, line 3"},
        {"makina-ledger 1\n\nend\n", "\"end\" is expected, line 2"}};
    for (const auto& [text, words] : rows) {
        EXPECT_EQ(words_of([&, &refused = text] { (void)decode_ledger(refused); }), words) << text;
    }
}

TEST(Ledger, IsRefusedAtEveryLengthButItsOwn) {
    const std::string whole = ledger_of(line() + line(2, "2"));
    for (std::size_t size = 0; size < whole.size(); ++size) {
        EXPECT_NE(words_of([&] { (void)decode_ledger(whole.substr(0, size)); }), "nothing") << size;
    }
    EXPECT_EQ(words_of([&] { (void)decode_ledger(whole); }), "nothing");
}

TEST(Ledger, NeverGivesAnEpochTwice) {
    Ledger ledger;
    EXPECT_EQ(next_epoch(ledger, "worker-1"), 1U);
    ledger = decode_ledger(ledger_of(line() + line(2, "5") + line(1, "lb-1")));
    EXPECT_EQ(next_epoch(ledger, "worker-1"), 6U);
    EXPECT_EQ(next_epoch(ledger, "lb-1"), 2U);
    // A backup does not know what was issued after it.
    ledger.restored.push_back(3);
    EXPECT_EQ(next_epoch(ledger, "worker-1"), 106U);
    EXPECT_EQ(next_epoch(ledger, "lb-2"), 101U);
    ledger.restored.push_back(3);
    EXPECT_EQ(next_epoch(ledger, "worker-1"), 206U);
    ledger = decode_ledger(ledger_of(line() + "restored 100\n" + line(2, "102")));
    EXPECT_EQ(next_epoch(ledger, "worker-1"), 103U);
}

TEST(Ledger, ThatIsDamagedStopsTheKeysFromOpening) {
    const Scratch scratch;
    { const Keys keys = fresh(scratch / "keys"); }
    replace_file(scratch / "keys/ledger", "makina-ledger 1\n");
    EXPECT_EQ(words_of([&] { const Keys keys(scratch / "keys", "makina", ""); }),
              (scratch / "keys/ledger").string() + ": a line without its end, line 2");
}

}  // namespace
}  // namespace makina
