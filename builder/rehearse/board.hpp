#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "builder/rehearse/boot_signs.hpp"
#include "builder/rehearse/inquiry.hpp"
#include "builder/rehearse/machine.hpp"
#include "builder/rehearse/monitor.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {

/// What an emulated board is made of.
struct BoardPlan {
    std::string name;
    std::vector<NetworkCard> cards;  ///< eth0's first; one of them gets the switch's cable when the power comes
    std::size_t switched = 0;        ///< which
    unsigned memory_mib = 512;
    unsigned processors = 1;        ///< several machines share those of this one
    std::uint64_t card_size = 0;    ///< bytes of the SD card; 0: the image's own size
    std::filesystem::path console;  ///< a file that gets what the serial console says; empty for none
    /// What is asked in the guest when one likes. Without any, nothing of ours is in it.
    std::vector<Question> questions = {};
};

/// How far a board is, as its console shows it.
struct BoardState {
    bool on = false;
    std::optional<BootStage> stage;
    std::string trouble;                  ///< why it will not come up any more; empty if it may
    std::vector<std::string> last_lines;  ///< of the console
};

/// An emulated board with a card in it, which runs in a thread of ours. A card keeps what was written to it until
/// another one is put in.
class Board {
  public:
    /// Throws Error if the console's file cannot be opened.
    explicit Board(BoardPlan plan);
    Board(const Board&) = delete;
    Board& operator=(const Board&) = delete;
    ~Board();

    /// Puts in a new card with this image, which is not written and must stay as long as the card. Power is off, or was
    /// told to go. Throws Error for an image that cannot boot.
    void insert(const std::filesystem::path& image);
    /// `cable` leads to a switch. Waits until the board is off if it still is on.
    void power_on(Descriptor cable);
    /// The power goes, within a second: the machine has no time to do anything. Does not wait for it.
    void power_off();
    /// The questions' line into the guest; nullptr if there are none, or if it was never on.
    [[nodiscard]] Inquiry* inquiry() { return inquiry_.get(); }
    /// Whether its network card sees a cable. Throws Error if the machine does not take it.
    void plug(bool plugged);

    [[nodiscard]] const std::string& name() const { return plan_.name; }
    [[nodiscard]] BoardState state() const;

  private:
    struct CardInSlot;
    void run(const Machine& machine);
    void hear(const std::string& line);
    void wait_until_off();

    BoardPlan plan_;
    std::unique_ptr<CardInSlot> card_;
    Descriptor cable_;
    std::unique_ptr<Monitor> monitor_;
    std::unique_ptr<Inquiry> inquiry_;
    std::atomic<bool> off_wanted_ = false;
    std::ofstream console_;
    ConsoleLines lines_;
    mutable std::mutex mutex_;
    BoardState state_;  ///< of both threads, so under the mutex
    std::thread thread_;
};

}  // namespace makina
