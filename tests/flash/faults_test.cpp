#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <random>
#include <thread>

#include "tests/flash/card_model.hpp"
#include "tests/flash/suite.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::flashing {
namespace {

std::shared_ptr<CardModel> honest_card(bool zeroes = false) {
    CardModel::Character character;
    character.zeroes = zeroes;
    return std::make_shared<CardModel>(character);
}

TEST(Card, HasTheWholeImageAndNothingOldAtItsEnds) {
    for (const bool zeroes : {false, true}) {
        const auto card = honest_card(zeroes);
        FlashOptions options;
        const Flashed flashed = flash(made_up_image(), card, options);
        EXPECT_TRUE(has_image(*card));
        EXPECT_TRUE(card->is_bootable());
        EXPECT_EQ(flashed.size, (3U << 20) - 512);
        EXPECT_EQ(flashed.written, 64U << 10);
        EXPECT_EQ(flashed.zeroed, 76U << 10);
        EXPECT_TRUE(card->memory().substr(4096, 4096) == std::string(4096, '\0'));
        EXPECT_TRUE(card->memory().substr(7 << 20) == std::string(1 << 20, '\0'));
    }
}

TEST(Card, OfTheSameImageGivesTheSameDigest) {
    const Flashed one = flash(made_up_image(), honest_card(), quick());
    const Flashed two = flash(made_up_image(), honest_card(true), FlashOptions());
    EXPECT_EQ(one.digest, two.digest);
    EXPECT_EQ(one.digest.size(), 64U);
}

/// Every byte that the image has on the card, with the end that must be empty.
std::vector<Piece> proven() {
    std::vector<Piece> pieces = made_up_image()->pieces();
    pieces.push_back({0, 1 << 20, true});
    pieces.push_back({7 << 20, 1 << 20, true});
    return pieces;
}

TEST(Card, ThatLosesABitIsFound) {
    const std::size_t total = long_form() ? 10000 : 2000;
    std::mt19937_64 random(6);
    const std::vector<Piece> pieces = proven();
    count("corruptions_missed", 0);
    for (std::size_t i = 0; i < total; ++i) {
        const Piece& piece = pieces[i % pieces.size()];
        std::uint64_t byte = piece.offset + random() % piece.size;
        if (i / pieces.size() == 0) byte = piece.offset;
        if (i / pieces.size() == 1) byte = piece.offset + piece.size - 1;
        const auto card = honest_card(i % 2 == 0);
        // Both ends are written after the rest was read back.
        const bool at_ends = byte < piece_size || byte >= 7 << 20;
        card->lost = {byte, static_cast<unsigned>(random() % 8), at_ends ? 3U : 2U};
        const std::string fault = fault_of(made_up_image(), card);
        count("corruptions", 1);
        if (fault.empty() || sounds_good(fault)) count("corruptions_missed", 1);
        ASSERT_NE(fault, "") << "bit " << card->lost.bit << " of byte " << byte;
        ASSERT_FALSE(card->is_bootable()) << byte;
    }
}

TEST(Card, ThatBreaksAnywhereIsNeverCalledGood) {
    const auto whole = honest_card(true);
    ASSERT_EQ(fault_of(made_up_image(), whole), "");
    const std::size_t calls = whole->calls();
    std::size_t positions = 0;
    count("error_positions", 0);
    count("false_success", 0);
    for (const int failure : {EIO, ENODEV, ENOSPC, 0, -ENODEV}) {
        for (std::size_t position = 0; position < calls; ++position) {
            const auto card = honest_card(true);
            bool hit = false;
            card->fault = [&](Call call, std::size_t number) {
                // A negative one is a card that is pulled: nothing works any more.
                const bool now = failure < 0 ? number >= position : number == position;
                const bool can_be_short = call == Call::read || call == Call::write;
                if (!now || call == Call::sequence || (failure == 0 && !can_be_short)) return -1;
                hit = true;
                return std::abs(failure);
            };
            const auto started = std::chrono::steady_clock::now();
            const std::string fault = fault_of(made_up_image(), card);
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
            if (!hit) continue;
            ++positions;
            count("error_positions", 1);
            if (fault.empty() || sounds_good(fault)) count("false_success", 1);
            ASSERT_NE(fault, "") << failure << " at " << position;
            ASSERT_FALSE(sounds_good(fault)) << fault;
            ASSERT_LT(took.count(), 5);
            const bool untouched = card->memory() == std::string(8 << 20, 'o');
            ASSERT_TRUE(!card->is_bootable() || untouched || has_image(*card))
                << failure << " at " << position << fault;
        }
    }
    EXPECT_GE(positions, 1000U);
}

TEST(Card, ThatHangsIsGivenUp) {
    const auto card = honest_card();
    const auto release = std::make_shared<std::atomic<bool>>(false);
    FlashOptions options;
    options.stall_seconds = 0.3;
    options.probe = false;
    card->fault = [release](Call call, std::size_t number) {
        while (call == Call::write && number > 6 && !*release)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return -1;
    };
    const std::string fault = fault_of(made_up_image(), card, options);
    EXPECT_EQ(fault,
              "nothing moved for 0 seconds: the reader or the card hangs; it does not boot: its first MiB is empty");
    *release = true;
}

TEST(Card, IsLeftUnbootableWhenSomebodyInterrupts) {
    for (const FlashPhase phase : {FlashPhase::preparing, FlashPhase::writing, FlashPhase::verifying}) {
        const auto card = honest_card();
        bool now = false;
        FlashOptions options = quick();
        options.on_progress = [&](const FlashProgress& progress) { now = now || progress.phase == phase; };
        options.is_interrupted = [&] { return now; };
        // So that the thread that asks has time to.
        card->fault = [](Call, std::size_t) {
            std::this_thread::sleep_for(std::chrono::milliseconds(3));
            return -1;
        };
        const std::string fault = fault_of(made_up_image(), card, options);
        EXPECT_EQ(fault, "interrupted; it does not boot: its first MiB is empty") << to_string(phase);
        EXPECT_FALSE(card->is_bootable());
    }
}

TEST(Card, ThatIsChangedForAnotherIsRefusedAndTheOtherIsLeftAlone) {
    FlashOptions options = quick();
    options.sequence = 7;
    const auto whole = honest_card();
    ASSERT_EQ(fault_of(made_up_image(), whole, options), "");
    const std::size_t points = whole->calls(Call::sequence);
    ASSERT_GE(points, 6U);
    for (std::size_t point = 1; point <= points; ++point) {
        const auto card = honest_card();
        card->fault = [&card = *card, point](Call call, std::size_t number) {
            if (call == Call::sequence && number == point) card.change('x');
            return -1;
        };
        const std::string fault = fault_of(made_up_image(), card, options);
        count("swaps_refused", fault.find("another card is in the reader") == std::string::npos ? 0 : 1);
        EXPECT_NE(fault.find("another card is in the reader"), std::string::npos) << point << ": " << fault;
        EXPECT_TRUE(card->memory() == std::string(8 << 20, 'x')) << point;
    }
}

TEST(Card, ThatIsChangedForAnotherInTheMiddleOfAnythingIsNeverCalledGood) {
    FlashOptions options = quick();
    options.sequence = 7;
    const auto whole = honest_card();
    ASSERT_EQ(fault_of(made_up_image(), whole, options), "");
    for (std::size_t position = 0; position < whole->calls(); ++position) {
        const auto card = honest_card();
        card->fault = [&card = *card, position](Call call, std::size_t number) {
            if (call != Call::sequence && number == position) card.change('x');
            return -1;
        };
        const std::string fault = fault_of(made_up_image(), card, options);
        count("swaps_refused", fault.empty() ? 0 : 1);
        EXPECT_TRUE(fault.find("another card is in the reader") != std::string::npos ||
                    fault.find("the one that was taken out") != std::string::npos)
            << position << ": " << fault;
        EXPECT_FALSE(sounds_good(fault)) << fault;
    }
}

/// A plain file of which is noted how long it was when it became one that boots.
class WatchedFile : public Medium {
  public:
    explicit WatchedFile(std::filesystem::path file) : path_(std::move(file)), file_(open_file_medium(path_)) {}
    [[nodiscard]] std::string name() const override { return file_->name(); }
    [[nodiscard]] std::uint64_t size() const override { return file_->size(); }
    [[nodiscard]] bool is_file() const override { return true; }
    int begin() override { return file_->begin(); }
    ssize_t read(char* data, std::size_t count, std::uint64_t offset) override {
        return file_->read(data, count, offset);
    }
    ssize_t write(const char* data, std::size_t count, std::uint64_t offset) override {
        const ssize_t put = file_->write(data, count, offset);
        if (offset == 0 && std::string(data, block) != std::string(block, '\0'))
            at_boot = std::filesystem::file_size(path_);
        return put;
    }
    int sync() override { return file_->sync(); }
    int zero(std::uint64_t offset, std::uint64_t count) override { return file_->zero(offset, count); }
    int forget() override { return file_->forget(); }
    std::optional<std::uint64_t> sequence() override { return file_->sequence(); }
    int resize(std::uint64_t size) override { return file_->resize(size); }

    std::uint64_t at_boot = 0;

  private:
    std::filesystem::path path_;
    std::shared_ptr<Medium> file_;
};

TEST(File, HasItsWholeLengthWhenItBecomesOneThatBoots) {
    const Scratch scratch;
    const auto file = std::make_shared<WatchedFile>(scratch / "card");
    // It ends with zeros, which are not written.
    const auto image = std::make_shared<MadeUpSource>(
        (8 << 20) - 512, std::vector<Piece>{{0, 4096, false}, {4 << 20, 4096, false}, {7 << 20, 1 << 20, true}});
    EXPECT_EQ(flash(image, file, quick()).size, (8U << 20) - 512);
    EXPECT_EQ(file->at_boot, (8U << 20) - 512);
    EXPECT_EQ(std::filesystem::file_size(scratch / "card"), (8U << 20) - 512);
}

TEST(File, IsNotEmptiedWhenItIsOpened) {
    const Scratch scratch;
    scratch.write("card", "old");
    { const auto file = open_file_medium(scratch / "card"); }
    EXPECT_EQ(slurp(scratch / "card"), "old");
}

TEST(Card, ThatIsTooSmallIsNotTouched) {
    CardModel::Character character;
    character.claimed = character.real = 2 << 20;
    const auto card = std::make_shared<CardModel>(character);
    EXPECT_EQ(fault_of(made_up_image(), card),
              "the image has 3145216 bytes, but the model only 2097152; nothing was written to it");
    EXPECT_TRUE(card->memory() == std::string(2 << 20, 'o'));
}

}  // namespace
}  // namespace makina::flashing
