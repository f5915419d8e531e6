#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "firstboot/join/genesis.hpp"

namespace makina::genesis {

/// What may happen in a schedule besides power cuts, lost questions and cut networks.
struct Dangers {
    std::size_t founders = 3;
    std::size_t new_cards =
        0;                     ///< so many founders' cards are written anew; the ledger notes that there was one before
    bool copies = false;       ///< the same image is written to a second card, once everybody has met everybody
    bool lying_cards = false;  ///< (a seeded fault) cards lose all that they said was written when the power goes
    bool late_right = false;   ///< some cards have no right: the ledger knew already that the cluster was formed
};

/// Founders that agree over a network that does what it likes, under a clock that only we move: one schedule, decided
/// by its seed alone.
class World {
  public:
    World(const Dangers& dangers, std::uint64_t seed);

    /// Trouble for so many steps; then peace, until everybody knows what became of it.
    void trouble(std::size_t steps);
    /// False if somebody does not know after this many seconds of peace.
    [[nodiscard]] bool settles(std::int64_t seconds);

    /// What must never be: a second cluster was begun while there is a card with data of one that can have had a
    /// leader, which takes a majority of its members; or a member began that was not agreed on.
    [[nodiscard]] bool is_split() const { return is_split_; }
    /// How many clusters can have had a leader. It can be two only if the cards of all who began the first are gone.
    [[nodiscard]] std::size_t clusters() const;
    [[nodiscard]] std::size_t steps() const { return steps_; }
    /// What happened, for people.
    [[nodiscard]] const std::vector<std::string>& story() const { return story_; }

  private:
    struct Node {
        Statement card;  ///< what is durable
        bool on = false;
        bool begun = false;  ///< etcd has data: it began with the others
        // What a power cut forgets.
        std::optional<std::vector<Statement>> heard;  ///< read, and not acted on yet
        std::optional<std::int64_t> majority_since, unchanged_since;
        std::string before;
        std::int64_t next_turn = 0;
    };

    [[nodiscard]] std::uint64_t random(std::uint64_t below) {
        return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(random_);
    }
    [[nodiscard]] bool chance(unsigned of_hundred) { return random(100) < of_hundred; }
    [[nodiscard]] std::string name_of(std::size_t number) const { return founding_.founders[number]; }
    void give_card(std::size_t number, bool again);
    void power(std::size_t number, bool on);
    static void forget(Node& node);
    void look(std::size_t number);
    void act(std::size_t number);
    void begin(Node& node);
    void happen();
    void tell(const std::string& line);

    Dangers dangers_;
    std::mt19937_64 random_;
    Founding founding_;
    std::vector<Node> nodes_;
    std::vector<std::vector<bool>> cut_;
    std::int64_t now_ = 0;
    std::uint64_t cards_ = 0;
    bool peaceful_ = false;
    std::map<Founders, std::set<std::string>> begun_;  ///< the incarnations that began, by with whom
    bool is_split_ = false;
    std::size_t steps_ = 0;
    std::vector<std::string> story_;
};

}  // namespace makina::genesis
