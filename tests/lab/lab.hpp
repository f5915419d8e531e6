#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "builder/file_tree.hpp"
#include "builder/process.hpp"

// Several machines of a cluster on this one: namespaces for the network, processes, mounts and host names, and over
// this machine's own files a layer for what is each one's own, its card. Everything ends with the process that made it.
namespace makina::lab {

namespace fs = std::filesystem;

/// Why no machines can be made here; empty if they can.
[[nodiscard]] std::string why_not();

/// A folder in memory, ours alone, where cards are; made at its first use, by which this process leaves the mounts of
/// the others. That use has to be in the first thread: the threads that it makes later see the folder too.
[[nodiscard]] const fs::path& workshop();

/// Namespaces that live as long as this does, held by a process that only collects children.
class Holder {
  public:
    /// `flags` are those of clone(2). Throws Error.
    explicit Holder(unsigned long flags);
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    ~Holder();
    [[nodiscard]] pid_t pid() const { return pid_; }

  private:
    pid_t pid_ = -1;
};

/// An Ethernet segment: a bridge in a network of its own.
class Switch {
  public:
    Switch();
    /// The cable of a port, named as the machine that it leads to.
    void cut(const std::string& port) const;
    void heal(const std::string& port) const;
    /// A command on the bridge itself; gives its standard output. Throws Error.
    std::string run(const std::vector<std::string>& argv) const;
    [[nodiscard]] pid_t pid() const { return holder_.pid(); }

  private:
    Holder holder_;
};

/// One machine. Its card outlives it: power_off is the plug pulled, and a second Machine on the same folder is the same
/// card in another board.
class Machine {
  public:
    /// The card's folder is made if it is missing; it has to be below workshop().
    Machine(std::string name, fs::path card);
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;
    ~Machine();

    /// Writes files onto the card; owners are names of this machine's /etc/passwd. The power is off.
    void install(const FileTree& files) const;
    /// Writes one file onto the card, as root's. The power is off.
    void install(const std::string& path, const std::string& content, unsigned mode = 0644) const;

    /// A folder of ours that the machine has too, from its next power_on: what is too large for a card of its own.
    void lend(const fs::path& ours, const std::string& where) { lent_.emplace_back(ours, where); }

    void power_on();
    /// Kills every process and takes the network away.
    void power_off();
    /// What power_off does first, without waiting for the kernel to have taken everything apart, which takes seconds:
    /// for many machines at once. power_off has to follow.
    void cut_power();
    [[nodiscard]] bool is_on() const { return holder_ != nullptr; }

    /// Plugs an interface into a switch; the machine is on. The port has the machine's name, or with `port` that.
    void plug(const Switch& into, const std::string& interface, const std::string& port = {}) const;
    /// Gives an address to an interface and brings it up.
    void give(const std::string& interface, const std::string& cidr) const;

    /// Stops every process (SIGSTOP), and lets them go on.
    void freeze(bool frozen) const;

    /// A command inside, on the machine's own root; argv for a process of this machine.
    [[nodiscard]] std::vector<std::string> inside(const std::vector<std::string>& argv) const;
    /// The same with this machine's files: for what is told its root with an option.
    [[nodiscard]] std::vector<std::string> beside(const std::vector<std::string>& argv) const;
    /// Runs a command inside to its end.
    [[nodiscard]] Result run(const std::vector<std::string>& argv) const;
    /// As run, but throws Error if it fails; gives standard output.
    std::string run_checked(const std::vector<std::string>& argv) const;
    /// Starts a command that ends with the machine; its output is appended to this log of the card. Gives the number of
    /// the process here, which stands for it: a signal to it does not reach what it started inside.
    pid_t start(const std::vector<std::string>& whole_argv, const std::string& log) const;

    /// The daemon, on this machine; it is started as it is, and ends with the machine.
    pid_t start_daemon(const std::vector<std::string>& arguments = {}) const;
    /// What the daemon says of itself; empty if it does not answer.
    [[nodiscard]] std::string daemon_status() const;

    /// Its network, for setns(2); the machine is on.
    [[nodiscard]] fs::path network() const;

    [[nodiscard]] const std::string& name() const { return name_; }
    [[nodiscard]] const fs::path& card() const { return card_; }
    /// A file as the machine has it; the power may be off, then only what is on the card.
    [[nodiscard]] fs::path file(const std::string& path) const;
    /// A log that `start` has written.
    [[nodiscard]] std::string log(const std::string& name) const;

  private:
    [[nodiscard]] fs::path root() const { return card_ / "root"; }
    [[nodiscard]] fs::path layer() const { return card_ / "layer"; }

    std::string name_;
    fs::path card_;
    std::unique_ptr<Holder> holder_;
    std::vector<std::pair<fs::path, std::string>> lent_ = {{MAKINA_SOURCE "/tests/lab", "/usr/lib/lab"}};
    /// What `start` began, as this machine sees it: the namespaces end only when these are collected.
    mutable std::vector<pid_t> started_;
    /// The switches' networks, and the ports in them.
    mutable std::vector<std::pair<pid_t, std::string>> cables_;
};

/// Asks until the answer is yes, every tenth of a second; false if it is not within `seconds`.
[[nodiscard]] bool becomes_true(double seconds, const std::function<bool()>& question);
/// Seconds of a clock that never jumps.
[[nodiscard]] double steady_seconds();

}  // namespace makina::lab
