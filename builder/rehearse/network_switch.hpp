#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "builder/rehearse/address_watch.hpp"
#include "builder/rehearse/frames.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {

/// An Ethernet switch for emulated machines, in a thread of ours: no root, no interface, nothing that another program
/// of this computer sees. Frames are packets of datagram sockets that have no name. A port that is too slow loses
/// frames, as on a real switch.
class NetworkSwitch {
  public:
    /// `watched` is an address whose holder is asked for all the time; `clock` gives seconds from any start. Throws
    /// Error.
    NetworkSwitch(std::size_t ports, std::optional<Address> watched, std::function<double()> clock);
    NetworkSwitch(const NetworkSwitch&) = delete;
    NetworkSwitch& operator=(const NetworkSwitch&) = delete;
    ~NetworkSwitch();

    /// A new cable in the port, instead of the one that was there: gives its other end. Throws Error.
    [[nodiscard]] Descriptor plug(std::size_t port);
    void unplug(std::size_t port);
    /// While it is cut, the cable stays where it is and nothing passes.
    void cut(std::size_t port, bool is_cut);
    /// Who had the watched address, and when.
    [[nodiscard]] std::vector<Holding> holdings() const;

  private:
    struct Port {
        Descriptor cable;
        bool is_cut = false;
    };
    void serve();
    void wake() const;
    void ask(double now);
    void take_frames(std::size_t from);
    void send(std::size_t to, std::string_view frame) const;

    std::function<double()> clock_;
    mutable std::mutex mutex_;  ///< of everything below but the thread
    std::vector<Port> ports_;
    ForwardingTable table_;
    std::optional<AddressWatch> watch_;
    bool stopping_ = false;
    Descriptor wake_;
    std::thread thread_;
};

}  // namespace makina
