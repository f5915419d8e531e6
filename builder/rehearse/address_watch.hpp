#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "builder/profile/address.hpp"
#include "builder/rehearse/frames.hpp"

namespace makina {

/// From a moment on, these ports answer for the watched address; none: nobody does; several: that is a fault.
struct Holding {
    double since = 0;  ///< seconds, by the clock of who asks
    std::set<std::size_t> ports;
};

/// Finds out who has an address as every neighbour on the wire does, by ARP (RFC 826). The questions are those of a
/// machine that has no address yet (RFC 5227, 2.1.1), so nobody's memory changes by them. Each carries its number in
/// the sender's card, which an answer repeats: two answers to one question are two holders at one time, not a change.
class AddressWatch {
  public:
    /// Seconds between two questions, for the caller.
    static constexpr double interval = 0.25;
    /// Seconds that an answer may take, and seconds without any after which it is clear that nobody has held the
    /// address since: an emulated machine that is busy is slow.
    static constexpr double patience = 2, silence = 4;

    explicit AddressWatch(Address address) : address_(address) {}

    /// The frame to send to every port now.
    [[nodiscard]] std::string question(double now);
    /// Takes a frame from a port. True if it answers one of our questions: then it is for nobody else.
    bool hear(std::size_t port, std::string_view frame, double now);
    /// Every change until now, in order.
    [[nodiscard]] const std::vector<Holding>& holdings() const { return holdings_; }

  private:
    struct Asked {
        std::uint16_t number = 0;
        double at = 0;
        double answered = 0;  ///< when the first answer came
        std::set<std::size_t> ports;
    };
    void conclude(const Asked& asked);

    Address address_;
    std::uint16_t number_ = 0;
    std::deque<Asked> open_;
    std::optional<double> heard_;  ///< the newest question that was answered
    std::vector<Holding> holdings_;
};

}  // namespace makina
