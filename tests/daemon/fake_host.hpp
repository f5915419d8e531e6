#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "firstboot/host.hpp"

namespace makina::test {

/// The power has gone. No std::exception, so that nothing in the daemon can catch it.
struct Cut {};

/// A program does nothing more. No std::exception, so that no program's stand-in can catch it.
struct Hang {};

struct FakeFile {
    std::string content;
    Access access;
    PathFacts::Kind kind = PathFacts::Kind::regular;
    std::int64_t modified = 0;
    bool operator==(const FakeFile&) const = default;
};

class FakeHost;
using Program = std::function<Answer(FakeHost&, const std::vector<std::string>&)>;

/// Everything of a machine that a daemon can see: a value, so that a test may keep it and go back to it.
struct FakeMachine {
    std::map<std::string, FakeFile> files;  ///< of every file system, /proc and /sys among them
    std::uint64_t free = std::uint64_t{4} << 30;
    bool trimmed = true;             ///< the card knows of every block whose file was wiped
    std::set<std::string> unsynced;  ///< files that are empty after a power cut
    std::vector<std::string> freed;  ///< contents of files that have gone without being overwritten

    Moment moment{1700000000, false};
    std::int64_t boot_clock = 0;  ///< what the clock says after power-on
    std::int64_t uptime = 5;

    std::string architecture = "arm64";
    std::string model = "Raspberry Pi 4 Model B Rev 1.4";
    std::string serial = "10000000abcdef01";

    std::vector<Interface> interfaces;
    std::map<std::string, std::string> neighbours;  ///< address -> MAC of another machine that has it

    Disk disk;
    std::vector<Delivery> deliveries;
};

/// What happens to the n-th change, counted from 1.
struct Accident {
    enum class Kind {
        cut_before,
        cut_half_done,
        cut_after,
        fail_before,
        fail_after,
        hang_before,  ///< the program that makes the change does nothing more, until it is given up
        hang_after
    } kind = Kind::cut_before;
    std::size_t at = 0;
    bool for_ever = false;  ///< failures: from then on
    std::string error = "no space left on device";
};

/// A Host that keeps a machine in memory and can end, or fail, at every change. Bundles are sealed by `seal`.
class FakeHost final : public Host {
  public:
    explicit FakeHost(FakeMachine& its_machine) : machine(its_machine) {}

    // What a test sets.
    FakeMachine& machine;
    std::map<std::string, Program> programs;  ///< by argv[0]
    /// By argv[0]: what the program has done when the power goes in the middle of it; nothing if it is not here.
    std::map<std::string, std::function<void(FakeHost&)>> halves;
    std::optional<Accident> accident;
    std::map<std::string, std::function<void(FakeHost&)>> reloads;  ///< by service: what it does when it is told
    std::function<void(FakeHost&)> world;                           ///< called after each wait: what goes on outside
    std::function<void(FakeHost&, const std::string&)> after_read;  ///< of a file, or of what is handed over ("")
    std::function<void(FakeHost&)> after_change;  ///< called after each change, also a half one: what must always hold
    std::function<Response(FakeHost&, const Request&)> network;  ///< who answers; none: nobody
    std::int64_t not_before = 0;                                 ///< of the signers' certificates
    std::int64_t stop_at = INT64_MAX;                            ///< uptime at which the daemon is asked to end

    // What a test looks at.
    std::vector<std::string> changes;  ///< one line each: "write /etc/hostname"
    std::vector<std::string> asked;    ///< programs that were run to ask something
    std::vector<std::string> lines;    ///< what was said
    std::vector<Status> statuses;      ///< newest last; only changes of state, stage or what is waited for are kept
    std::vector<Light> lights;
    std::set<std::string> states;  ///< every state that was ever published
    std::uint64_t published = 0;
    std::vector<std::string> bundles;  ///< bundles that were opened, as they were sealed
    std::string statement;             ///< what other nodes are told

    /// Something outside changes because the daemon asked for it; the power may go before it, or before the answer.
    void net_change(const std::string& what, const std::function<void()>& work) {
        change(
            what, [] {}, work);
    }
    void put(const std::string& path, const std::string& content, const Access& access = {});
    [[nodiscard]] std::string text(const std::string& path) const;
    [[nodiscard]] bool has(const std::string& path) const { return machine.files.contains(path); }

    // Files.
    std::optional<std::string> read(const std::string& path, std::size_t cap) override;
    std::optional<PathFacts> look(const std::string& path) override;
    std::vector<std::string> list(const std::string& path) override;
    void write(const std::string& path, const std::string& content, const Access& access) override;
    void replace(const std::string& path, const std::string& content, const Access& access) override;
    void clear_beside(const std::string& path) override;
    void remove(const std::string& path) override;
    void wipe(const std::string& path) override;
    void rename(const std::string& path, const std::string& name) override;
    void sync(const std::string& path) override;
    void trim() override;
    std::uint64_t free_bytes() override { return machine.free; }

    // Programs.
    Answer run(const std::vector<std::string>& argv, unsigned seconds) override;
    bool reload(const std::string& service) override;

    // Time.
    Moment moment() override { return machine.moment; }
    void set_clock(std::int64_t seconds) override;
    std::int64_t uptime() override { return machine.uptime; }
    bool wait(unsigned seconds) override;
    void pause() override;

    // The board.
    std::string architecture() override { return machine.architecture; }
    std::string model() override { return machine.model; }
    std::string serial() override { return machine.serial; }
    std::string random(std::size_t bytes) override;
    void set_hostname(const std::string& name) override;

    // Network.
    std::vector<Interface> interfaces() override { return machine.interfaces; }
    std::optional<std::string> probe(const std::string& interface, const std::string& address) override;

    std::vector<Response> fetch(const std::vector<Request>& requests) override;
    void answer_peers(const std::string& address, const Credentials& tls, const std::string& statement) override;

    // The card.
    Disk disk() override { return machine.disk; }
    void write_table(const std::string& sector) override;
    void tell_partition(int number, std::uint64_t start, std::uint64_t sectors) override;
    void grow_root() override;

    // Bundles.
    Opened open_bundle(const std::string& sealed, const Trust& trust) override;
    std::vector<Delivery> deliveries() override;
    void wipe_delivery(const Delivery& delivery) override;

    // People.
    void say(const std::string& line) override { lines.push_back(line); }
    void publish(const Status& status) override;
    void show(Light light) override { lights.push_back(light); }

  private:
    void change(const std::string& what, const std::function<void()>& half, const std::function<void()>& whole);
    [[nodiscard]] bool fails(Accident::Kind kind, std::size_t number) const;
    [[nodiscard]] Answer give_up(unsigned seconds);

    int tenths_ = 0;  ///< of a second
};

/// Power off and on again: what was only in memory is gone.
void power_cycle(FakeMachine& machine);

/// A bundle sealed by the test's own signer, whose name stands for its certificate and its anchor's.
[[nodiscard]] std::string seal(const Bundle& bundle, const std::string& signer);

}  // namespace makina::test
