#include <gtest/gtest.h>

#include "builder/pki/folder.hpp"
#include "builder/pki/ledger.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using keyrings::fresh;
using keyrings::words_of;

const FlashReceipt receipt = {"worker-1", std::string(32, 'b'), "usb-Generic SD 0:0%", std::string(64, 'a'), 4096, true,
                              7};

TEST(Receipt, IsSignedNotedAndReadAgain) {
    const Scratch scratch;
    fresh(scratch / "keys").note_flashed(receipt);
    const Keys keys(scratch / "keys", "makina", "");
    ASSERT_EQ(keys.receipts().size(), 1U);
    const FlashReceipt found = keys.receipts().front();
    EXPECT_EQ(found.medium, receipt.medium);
    EXPECT_EQ(found.bytes, 4096U);
    EXPECT_TRUE(keys.is_genuine(found));
    EXPECT_EQ(encode(decode_ledger(slurp(scratch / "keys/ledger"))), slurp(scratch / "keys/ledger"));
}

TEST(Receipt, IsNotGenuineWithAnyWordChanged) {
    const Scratch scratch;
    Keys keys = fresh(scratch / "keys");
    keys.note_flashed(receipt);
    const FlashReceipt good = keys.receipts().front();
    std::vector<FlashReceipt> changed(9, good);
    changed[0].node = "worker-2";
    changed[1].card[0] = 'c';
    changed[2].medium += "x";
    changed[3].sha256[63] = 'b';
    changed[4].bytes = 4097;
    changed[5].verified = false;
    changed[6].time = 8;
    changed[7].signer = std::string(64, 'd');
    changed[8].signature[20] = changed[8].signature[20] == '0' ? '1' : '0';
    for (std::size_t i = 0; i < changed.size(); ++i) EXPECT_FALSE(keys.is_genuine(changed[i])) << i;
}

TEST(Receipt, IsNoLongerGenuineWhenItsSignerIsGone) {
    const Scratch scratch;
    Keys keys = fresh(scratch / "keys");
    keys.note_flashed(receipt);
    keys.rotate_signer(keyrings::now);
    EXPECT_TRUE(keys.is_genuine(keys.receipts().front()));
    keys.finish_rotation(false);
    EXPECT_FALSE(keys.is_genuine(keys.receipts().front()));
}

TEST(Receipt, IsRefusedInAnyOtherForm) {
    const std::string good = "flashed worker-1 " + std::string(32, 'b') + " sd%20card " + std::string(64, 'a') +
                             " 4096 verified 7 " + std::string(64, 'c') + " 3045";
    const auto ledger = [](const std::string& line) { return "makina-ledger 1\n" + line + "\nend\n"; };
    EXPECT_EQ(encode(decode_ledger(ledger(good))), ledger(good));
    for (const auto& [from, to, words] : std::vector<std::array<std::string, 3>>{
             {"worker-1", "Worker", "the node is no name, line 2"},
             {"bbbb", "bb", "the card is not 32 lower-case hex digits, line 2"},
             {"sd%20card", "sd%2fcard", "the medium is not in the one way to write it, line 2"},
             {"aaaa", "aa", "the SHA-256 is not 64 lower-case hex digits, line 2"},
             {" 4096 ", " 04096 ", "the bytes are no number, line 2"},
             {"verified", "complete", "a card is verified or failed, line 2"},
             {" 7 ", " soon ", "the flashing is no time, line 2"},
             {"cccc", "cc", "the signer is not 64 lower-case hex digits, line 2"},
             {"3045", "304", "the signature is not in lower-case hex digits, line 2"},
             {" 3045", "", "what was flashed has 9 words, line 2"}}) {
        std::string bad = good;
        bad.replace(bad.find(from), from.size(), to);
        EXPECT_EQ(words_of([&] { (void)decode_ledger(ledger(bad)); }), words) << bad;
    }
}

}  // namespace
}  // namespace makina
