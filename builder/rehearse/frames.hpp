#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "builder/profile/address.hpp"

namespace makina {

/// The address of a network card.
using Mac = std::array<unsigned char, 6>;
[[nodiscard]] std::string to_string(const Mac& mac);  ///< "02:4d:c0:a8:03:f1"

/// A card for the machine with this address: two machines of a net never have the same. `card` counts the cards of one
/// machine.
[[nodiscard]] Mac card_for(Address address, unsigned card = 0);

/// Who sent an Ethernet frame, and whom it is for. Throws nothing; a frame that is too short is nobody's.
[[nodiscard]] bool is_frame(std::string_view frame);
[[nodiscard]] Mac sender_of(std::string_view frame);
[[nodiscard]] Mac receiver_of(std::string_view frame);

/// Learns behind which port of a switch each card is, as IEEE 802.1D has it.
class ForwardingTable {
  public:
    /// The ports, of `ports` many, to which a frame that came from port `from` goes on.
    [[nodiscard]] std::vector<std::size_t> ways(std::size_t from, std::string_view frame, std::size_t ports);
    /// What is behind the port may be another machine from now on.
    void forget(std::size_t port);

  private:
    std::map<Mac, std::size_t> behind_;
};

}  // namespace makina
