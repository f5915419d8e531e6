#include "firstboot/machine/machine.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <optional>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "firstboot/machine/board.hpp"
#include "firstboot/machine/clock.hpp"
#include "firstboot/machine/deliveries.hpp"
#include "firstboot/machine/disk.hpp"
#include "firstboot/machine/fetch.hpp"
#include "firstboot/machine/files.hpp"
#include "firstboot/machine/lock.hpp"
#include "firstboot/machine/network.hpp"
#include "firstboot/machine/people.hpp"
#include "firstboot/machine/programs.hpp"
#include "firstboot/machine/status_server.hpp"
#include "firstboot/machine/supervisor.hpp"

namespace makina {
namespace {

ProgramPlace programs_of(const MachineOptions& options, bool machine) {
    ProgramPlace place = usual_place();
    if (machine) return place;
    place.folders.clear();
    if (!options.programs.empty()) place.folders.push_back(std::filesystem::absolute(options.programs));
    place.by_name_only = true;
    place.environment["MAKINA_ROOT"] = std::filesystem::absolute(options.root).string();
    return place;
}

/// Where the page is: "127.0.0.1:8080".
struct PagePlace {
    std::string address;
    std::uint16_t port = 0;
};

std::optional<PagePlace> page_of(const MachineOptions& options) {
    if (options.page.empty()) return std::nullopt;
    PagePlace place;
    const std::size_t colon = options.page.find(':');
    if (colon != std::string::npos) {
        place.address = options.page.substr(0, colon);
        const char* const end = options.page.data() + options.page.size();
        const auto [last, error] = std::from_chars(options.page.data() + colon + 1, end, place.port);
        if (error == std::errc{} && last == end && place.port != 0) return place;
    }
    throw Error("\"" + options.page + "\" is not the place of a page: give it as 127.0.0.1:8080");
}

/// Each of Host's subjects is a file of this folder; what is decided here is only what another root changes.
class Machine : public Host {
  public:
    Machine(const MachineOptions& options, bool machine)
        : machine_(machine),
          files_(options.root),
          lock_(options.beside ? Descriptor() : take_lock(files_)),
          page_(page_of(options)),
          place_(programs_of(options, machine)),
          clock_(files_, machine),
          deliveries_(files_, machine),
          card_(machine || is_card(files_.root())) {
        if (options.beside) return;
        server_.emplace(files_);
        notify("READY=1\nSTATUS=starting");
    }

    std::optional<std::string> read(const std::string& path, std::size_t cap) override {
        return files_.read(path, cap);
    }
    std::optional<PathFacts> look(const std::string& path) override { return files_.look(path); }
    std::vector<std::string> list(const std::string& path) override { return files_.list(path); }
    void write(const std::string& path, const std::string& content, const Access& access) override {
        files_.write(path, content, access);
    }
    void replace(const std::string& path, const std::string& content, const Access& access) override {
        files_.replace(path, content, access);
    }
    void clear_beside(const std::string& path) override { files_.clear_beside(path); }
    void remove(const std::string& path) override { files_.remove(path); }
    void wipe(const std::string& path) override { files_.wipe(path); }
    void rename(const std::string& path, const std::string& name) override { files_.rename(path, name); }
    void sync(const std::string& path) override { files_.sync(path); }
    void trim() override {
        if (card_) files_.trim([this] { supervisor_.tick(); });
    }
    std::uint64_t free_bytes() override { return files_.free_bytes(); }

    Answer run(const std::vector<std::string>& argv, unsigned seconds) override {
        return run_program(argv, seconds, place_, supervisor_);
    }
    bool reload(const std::string& service) override { return machine_ && hang_up(service); }

    Moment moment() override { return clock_.moment(); }
    void set_clock(std::int64_t seconds) override { clock_.set(seconds); }
    std::int64_t uptime() override { return steady_milliseconds() / 1000; }
    bool wait(unsigned seconds) override { return supervisor_.wait(seconds * std::int64_t{1000}); }
    void pause() override { (void)supervisor_.wait(100); }

    std::string architecture() override { return architecture_of_kernel(); }
    std::string model() override { return model_of_board(files_); }
    std::string serial() override { return serial_of_board(files_); }
    std::string random(std::size_t bytes) override { return random_bytes(bytes); }
    void set_hostname(const std::string& name) override {
        if (!machine_) return files_.write("/proc/sys/kernel/hostname", name + "\n", {});
        if (sethostname(name.c_str(), name.size()) != 0) throw_system("setting the host name");
    }

    std::vector<Interface> interfaces() override { return wired_interfaces(machine_); }
    std::optional<std::string> probe(const std::string& interface, const std::string& address) override {
        return probe_address(interface, address);
    }

    std::vector<Response> fetch(const std::vector<Request>& requests) override { return fetch_all(files_, requests); }
    void answer_peers(const std::string& address, const Credentials& tls, const std::string& statement) override {
        // The keys of a newer bundle have the same names.
        server_->open_peers(address, peers_port, Tls(files_, tls));
        server_->state(statement);
    }

    Disk disk() override { return card_ ? disk_of(files_.root()) : grown_disk(files_.root()); }
    void write_table(const std::string& sector) override {
        need_card();
        makina::write_table(files_.root(), sector);
    }
    void tell_partition(int number, std::uint64_t start, std::uint64_t sectors) override {
        need_card();
        makina::tell_partition(files_.root(), number, start, sectors);
    }
    void grow_root() override {
        need_card();
        grow_file_system(files_.root());
    }

    Opened open_bundle(const std::string& sealed, const Trust& trust) override {
        return open_sealed_confined(sealed, trust);
    }
    std::vector<Delivery> deliveries() override { return deliveries_.all(); }
    void wipe_delivery(const Delivery& delivery) override { deliveries_.wipe(delivery); }

    void say(const std::string& line) override { say_line(line, machine_); }
    void show(Light light) override {
        // Setting it again would begin the pattern anew.
        if (light_ == light) return;
        show_light(files_, light);
        light_ = light;
    }
    void publish(const Status& status) override {
        if (!server_) return;
        std::string json = to_json(status);
        const std::string waiting = status.waiting_for.empty() ? "" : ", waiting for " + status.waiting_for;
        notify("STATUS=" + status.state + (status.stage.empty() ? "" : " (" + status.stage + ")") + waiting);
        // A status that cannot be told is no reason to stop what it is about.
        attempt(file_fault_, [&] { files_.write(std::string(status_folder) + "/" + status_file, json, {}); });
        server_->publish(std::move(json), to_html(status));
        attempt(page_fault_, [&] { open_page(status.address); });
    }

  private:
    void need_card() const {
        if (!card_) throw Error("the root folder is not the top of a card's file system");
    }
    void open_page(const std::string& address) {
        if (page_) return server_->open_page({page_->address}, page_->port);
        if (machine_) server_->open_page(page_addresses(address, wired_interfaces(machine_)), status_port);
    }
    /// Says what went wrong, unless it was the same the last time.
    template <typename Work>
    void attempt(std::string& fault, Work work) {
        try {
            work();
            fault.clear();
        } catch (const Error& error) {
            if (fault != error.what()) say(error.what());
            fault = error.what();
        }
    }

    bool machine_;
    Files files_;
    Descriptor lock_;
    std::optional<PagePlace> page_;
    ProgramPlace place_;
    Clock clock_;
    Deliveries deliveries_;
    bool card_;
    std::optional<Light> light_;
    std::string file_fault_, page_fault_;
    Supervisor supervisor_;
    std::optional<StatusServer> server_;  // the last: its thread inherits which signals the supervisor takes
};

}  // namespace

std::unique_ptr<Host> real_machine(const MachineOptions& options) {
    std::error_code none;
    const bool machine = std::filesystem::equivalent(options.root, "/", none);
    // The modes that are asked for are the modes that are made.
    umask(022);
    return std::make_unique<Machine>(options, machine);
}

}  // namespace makina
