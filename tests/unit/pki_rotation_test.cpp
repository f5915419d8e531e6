#include <gtest/gtest.h>

#include "builder/pki/folder.hpp"
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

bool believes(const Trust& trust, const Issued& issued) {
    try {
        return open_sealed(issued.sealed, trust).bundle.epoch == issued.epoch;
    } catch (const Untrusted&) {
        return false;
    }
}

class Rotation : public testing::Test {
  protected:
    Issued card() { return keys_.issue(to_, true, now, year, "card"); }
    Issued handed() { return keys_.issue(to_, false, now, year, "makina.bundle"); }
    /// The trust that a bundle brings to the card that takes it.
    static Trust brought(const Issued& issued, const Trust& before) {
        return decode_trust(payload(open_sealed(issued.sealed, before).bundle, "trust"));
    }
    void reopen() {
        { const Keys closed = std::move(keys_); }
        keys_ = Keys(scratch_ / "keys", "makina", "");
    }

    Scratch scratch_;
    Keys keys_ = fresh(scratch_ / "keys");
    Recipient to_ = recipient("gateway-1", "gateway");
};

TEST_F(Rotation, IsBelievedByEveryCardAsItsAnchorsSay) {
    const Issued old = card();
    keys_.rotate_signer(now);
    const Issued old_and_new = handed();
    const Issued both = card();
    keys_.finish_rotation(false);
    const Issued fresh_one = card();
    const Trust trust_old = decode_trust(old.trust);
    const Trust trust_both = decode_trust(both.trust);
    const Trust trust_new = decode_trust(fresh_one.trust);
    EXPECT_EQ(trust_old.anchors.size(), 1U);
    EXPECT_EQ(trust_both.anchors.size(), 2U);
    EXPECT_EQ(trust_new.anchors.size(), 1U);
    EXPECT_EQ(trust_both.anchors[0], trust_new.anchors[0]) << "the newest is the first";
    struct Row {
        const char* card;
        const Trust& trust;
        const char* bundle;
        const Issued& issued;
        bool believed;
    };
    const std::vector<Row> rows = {{"old", trust_old, "old", old, true},
                                   {"old", trust_old, "handed over in the overlap", old_and_new, true},
                                   {"old", trust_old, "new, of the overlap", both, false},
                                   {"old", trust_old, "new", fresh_one, false},
                                   {"both", trust_both, "old", old, true},
                                   {"both", trust_both, "handed over in the overlap", old_and_new, true},
                                   {"both", trust_both, "new, of the overlap", both, true},
                                   {"both", trust_both, "new", fresh_one, true},
                                   {"new", trust_new, "old", old, false},
                                   {"new", trust_new, "handed over in the overlap", old_and_new, false},
                                   {"new", trust_new, "new, of the overlap", both, true},
                                   {"new", trust_new, "new", fresh_one, true}};
    for (const Row& row : rows) {
        EXPECT_EQ(believes(row.trust, row.issued), row.believed) << "card " << row.card << ", bundle " << row.bundle;
    }
}

TEST_F(Rotation, BringsTheNewAuthorityToCardsInTheField) {
    const Trust old = decode_trust(card().trust);
    keys_.rotate_signer(now);
    // The first one may never have reached the card, so that the second is sealed by what it surely believes, too.
    const Issued lost = handed();
    const Issued taken = handed();
    EXPECT_TRUE(believes(old, taken));
    const Trust both = brought(taken, old);
    EXPECT_EQ(both.anchors.size(), 2U);
    keys_.finish_rotation(false);
    const Issued later = handed();
    EXPECT_FALSE(believes(old, later));
    EXPECT_TRUE(believes(both, later));
    EXPECT_EQ(brought(later, both).anchors.size(), 1U);
    EXPECT_EQ(later.card, lost.card);
}

TEST_F(Rotation, HandsNothingToACardThatTheOldAuthorityAloneCouldReach) {
    const Issued old = card();
    keys_.rotate_signer(now);
    keys_.finish_rotation(false);
    EXPECT_EQ(words_of([&] { (void)handed(); }),
              "the last card of gateway-1 believes only signing authorities that are gone: build a new image");
    const Issued fresh_one = card();
    EXPECT_TRUE(believes(decode_trust(fresh_one.trust), handed()));
    EXPECT_FALSE(believes(decode_trust(old.trust), fresh_one));
}

TEST_F(Rotation, LeavesACardBehindUntilItIsSeenToHaveTakenItsBundle) {
    using Nodes = std::vector<std::string>;
    const auto seen = [&](std::uint64_t epoch) {
        const std::string id = keys_.cluster_id();
        { const Keys closed = std::move(keys_); }
        const std::size_t news = Keys::note_taken(scratch_ / "keys", id, {{"gateway-1", "gateway", epoch}}).size();
        keys_ = Keys(scratch_ / "keys", "makina", "");
        return news;
    };
    const Issued old = card();
    (void)handed();
    EXPECT_EQ(keys_.left_behind(), Nodes{}) << "no rotation is under way";
    keys_.rotate_signer(now);
    EXPECT_EQ(keys_.left_behind(), Nodes{"gateway-1"});
    // It may lie in a drawer.
    const Issued in_a_drawer = handed();
    const Issued brought_it = handed();
    EXPECT_EQ(keys_.left_behind(), Nodes{"gateway-1"});
    // What the card has had before, or was made with, or what nobody issued, is no news and proves nothing.
    EXPECT_EQ(seen(2), 1U);
    for (const std::uint64_t epoch : {1, 2, 9}) EXPECT_EQ(seen(epoch), 0U) << epoch;
    EXPECT_EQ(keys_.left_behind(), Nodes{"gateway-1"});
    EXPECT_EQ(seen(in_a_drawer.epoch), 1U);
    EXPECT_EQ(keys_.left_behind(), Nodes{});
    EXPECT_EQ(seen(brought_it.epoch), 1U);
    EXPECT_EQ(seen(in_a_drawer.epoch), 0U);
    EXPECT_EQ(keys_.left_behind(), Nodes{});
    EXPECT_EQ(Keys::note_taken(scratch_ / "nothing", keys_.cluster_id(), {{"gateway-1", "gateway", 4}}).size(), 0U);
}

TEST_F(Rotation, LeavesNoCardBehindThatWasMadeInIt) {
    using Nodes = std::vector<std::string>;
    (void)card();
    keys_.rotate_signer(now);
    (void)card();
    EXPECT_EQ(keys_.left_behind(), Nodes{});
    // A bundle for that card changes nothing about it.
    (void)handed();
    EXPECT_EQ(keys_.left_behind(), Nodes{});
    (void)keys_.issue(recipient("worker-1", "worker"), true, now, year, "card");
    EXPECT_EQ(keys_.left_behind(), Nodes{});
}

TEST_F(Rotation, NamesACompromisedSignerToEveryCard) {
    const Issued stolen = card();
    keys_.rotate_signer(now);
    const Issued overlap = handed();
    const Trust both = brought(overlap, decode_trust(stolen.trust));
    keys_.finish_rotation(true);
    const Issued after = handed();
    const Trust warned = brought(after, both);
    ASSERT_EQ(warned.revoked.size(), 1U);
    EXPECT_EQ(warned.revoked[0], keys_.ledger()[0].signer);
    // Even a card that still has the old anchor believes the old signer no more.
    Trust with_old_anchor = warned;
    with_old_anchor.anchors = both.anchors;
    EXPECT_FALSE(believes(with_old_anchor, stolen));
    with_old_anchor.revoked.clear();
    EXPECT_TRUE(believes(with_old_anchor, stolen)) << "the control: it is the naming that refuses it";
    EXPECT_EQ(decode_trust(card().trust).revoked, warned.revoked);
    // The next rotation names it still.
    keys_.rotate_signer(now);
    keys_.finish_rotation(true);
    EXPECT_EQ(decode_trust(card().trust).revoked.size(), 2U);
}

TEST_F(Rotation, GoesOnOverARestart) {
    (void)card();
    keys_.rotate_signer(now);
    reopen();
    EXPECT_EQ(keys_.facts().size(), 10U);
    EXPECT_EQ(keys_.facts()[2].name, "previous-signing-ca");
    EXPECT_EQ(words_of([&] { keys_.rotate_signer(now); }),
              "a rotation is under way: makina-image keys rotate --finish ends it when every node has a bundle or a "
              "card of the new authority");
    keys_.finish_rotation(false);
    reopen();
    EXPECT_EQ(keys_.facts().size(), 8U);
    EXPECT_EQ(words_of([&] { keys_.finish_rotation(false); }),
              "there is no rotation to finish: makina-image keys rotate begins one");
    EXPECT_EQ(names_in(scratch_ / "keys/signing-2"), "ca.crt ca.key signer.crt signer.key ");
    EXPECT_FALSE(std::filesystem::exists(scratch_ / "keys/signing-1"));
}

TEST_F(Rotation, IsEndedWhenAPowerCutCameAfterTheSignerWasNamed) {
    keys_.rotate_signer(now);
    const std::string old = keys_.facts()[3].fingerprint;
    replace_file(scratch_ / "keys/revoked", old + "\n");
    reopen();
    EXPECT_EQ(keys_.facts().size(), 8U);
    EXPECT_FALSE(std::filesystem::exists(scratch_ / "keys/signing-1"));
}

TEST_F(Rotation, RemovesWhatAPowerCutLeft) {
    keys_.rotate_signer(now);
    std::filesystem::rename(scratch_ / "keys/signing-1", scratch_ / "keys/.signing-1.wiping");
    scratch_.write("keys/.signing-3.making/ca.key", "half");
    scratch_.write("keys/.ledger.new", "half");
    reopen();
    EXPECT_EQ(keys_.facts().size(), 8U);
    for (const auto& entry : std::filesystem::directory_iterator(scratch_ / "keys")) {
        EXPECT_NE(entry.path().filename().string().front(), '.') << entry.path();
    }
}

TEST_F(Rotation, RefusesAListOfSignersThatIsDamaged) {
    std::string damaged(64, 'a');
    damaged.append("\n").append(64, 'X').append("\n");
    replace_file(scratch_ / "keys/revoked", damaged);
    EXPECT_EQ(words_of([&] { (void)card(); }),
              (scratch_ / "keys/revoked").string() + ", line 2: not 64 lower-case hex digits");
}

}  // namespace
}  // namespace makina
