#include "tests/daemon/fake_host.hpp"

#include <algorithm>

#include "firstboot/bundle/error.hpp"

namespace makina::test {
namespace {

constexpr std::string_view seal_line = "sealed by ";

/// Programs that only ask: running them changes nothing.
bool only_asks(const std::vector<std::string>& argv) {
    const bool about_unit = argv.size() > 1 && argv[0] == "systemctl" && argv[1] == "is-active";
    const bool about_rules = argv.size() > 1 && argv[0] == "nft" && argv[1] == "list";
    return about_unit || about_rules || argv[0] == "haproxy" || argv[0] == "keepalived" || argv[0] == "sha256sum";
}

std::string joined(const std::vector<std::string>& argv) {
    std::string text;
    for (const std::string& word : argv) text += " " + word;
    return text;
}

std::uint64_t number_at(const std::string& sector, std::size_t offset) {
    std::uint64_t number = 0;
    for (std::size_t i = 4; i-- > 0;) number = number << 8 | static_cast<unsigned char>(sector.at(offset + i));
    return number;
}

}  // namespace

bool FakeHost::fails(Accident::Kind kind, std::size_t number) const {
    if (!accident || accident->kind != kind) return false;
    return accident->for_ever ? number >= accident->at : number == accident->at;
}

void FakeHost::change(const std::string& what, const std::function<void()>& half, const std::function<void()>& whole) {
    changes.push_back(what);
    // A program is a change that may have others in it.
    const std::size_t number = changes.size();
    if (fails(Accident::Kind::cut_before, number)) throw Cut{};
    if (fails(Accident::Kind::fail_before, number)) throw Error(what + ": " + accident->error);
    if (fails(Accident::Kind::hang_before, number)) throw Hang{};
    if (fails(Accident::Kind::cut_half_done, number)) {
        half();
        if (after_change) after_change(*this);
        throw Cut{};
    }
    whole();
    if (after_change) after_change(*this);
    if (fails(Accident::Kind::cut_after, number)) throw Cut{};
    if (fails(Accident::Kind::fail_after, number)) throw Error(what + ": " + accident->error);
    if (fails(Accident::Kind::hang_after, number)) throw Hang{};
}

void FakeHost::put(const std::string& path, const std::string& content, const Access& access) {
    machine.files[path] = {content, access, PathFacts::Kind::regular, machine.moment.now};
}

std::string FakeHost::text(const std::string& path) const {
    const auto found = machine.files.find(path);
    return found == machine.files.end() ? std::string() : found->second.content;
}

std::optional<std::string> FakeHost::read(const std::string& path, std::size_t cap) {
    const auto found = machine.files.find(path);
    if (found == machine.files.end() || found->second.kind != PathFacts::Kind::regular) return std::nullopt;
    if (found->second.content.size() > cap) throw Error(path + " is larger than it can be");
    std::string content = found->second.content;
    if (after_read) after_read(*this, path);
    return content;
}

std::optional<PathFacts> FakeHost::look(const std::string& path) {
    const auto found = machine.files.find(path);
    if (found == machine.files.end()) return std::nullopt;
    const FakeFile& file = found->second;
    return PathFacts{file.kind, file.content.size(), file.modified, file.access};
}

std::vector<std::string> FakeHost::list(const std::string& path) {
    std::set<std::string> names;
    for (const auto& [file, content] : machine.files) {
        if (file.rfind(path + "/", 0) != 0) continue;
        const std::string below = file.substr(path.size() + 1);
        names.insert(below.substr(0, below.find('/')));
    }
    return {names.begin(), names.end()};
}

void FakeHost::write(const std::string& path, const std::string& content, const Access& access) {
    change(
        "write " + path,
        [&] {
            put(path + ".new", content.substr(0, content.size() / 2), {0600, "root", "root"});
        },
        [&] {
            machine.files.erase(path + ".new");
            if (has(path)) machine.freed.push_back(text(path));
            put(path, content, access);
        });
}

void FakeHost::replace(const std::string& path, const std::string& content, const Access& access) {
    if (!has(path)) return write(path, content, access);
    change(
        "replace " + path,
        [&] {
            // The new one is there, and the old one lies beside.
            put(path + ".new", text(path), {0600, "root", "root"});
            put(path, content, access);
        },
        [&] {
            machine.files.erase(path + ".new");
            put(path, content, access);
            machine.trimmed = false;
        });
}

void FakeHost::clear_beside(const std::string& path) {
    if (!has(path + ".new")) return;
    change(
        "clear beside " + path, [] {},
        [&] {
            machine.files.erase(path + ".new");
            machine.trimmed = false;
        });
}

void FakeHost::remove(const std::string& path) {
    if (!has(path)) return;
    change(
        "remove " + path, [] {},
        [&] {
            machine.freed.push_back(text(path));
            machine.files.erase(path);
        });
}

void FakeHost::wipe(const std::string& path) {
    if (!has(path)) return;
    change(
        "wipe " + path,
        [&] {
            // Every other block of 64 bytes: what a card had written when the power went.
            std::string& content = machine.files.at(path).content;
            for (std::size_t i = 0; i < content.size(); ++i) {
                if (i / 64 % 2 == 0) content[i] = '\0';
            }
        },
        [&] {
            machine.files.erase(path + ".new");
            machine.files.erase(path);
            machine.trimmed = false;
        });
}

void FakeHost::rename(const std::string& path, const std::string& name) {
    const std::string to = path.substr(0, path.rfind('/') + 1) + name;
    const auto is_below = [](const std::string& one, const std::string& folder) {
        return one == folder || one.rfind(folder + "/", 0) == 0;
    };
    std::map<std::string, FakeFile> moved;
    for (const auto& [one, file] : machine.files) {
        if (is_below(one, to)) throw Error("renaming " + path + " to " + name + ": file exists");
        if (is_below(one, path)) moved.emplace(to + one.substr(path.size()), file);
    }
    if (moved.empty()) return;
    change(
        "rename " + path + " " + name, [] {},
        [&] {
            std::erase_if(machine.files, [&](const auto& one) { return is_below(one.first, path); });
            machine.files.merge(moved);
        });
}

void FakeHost::sync(const std::string& path) {
    change(
        "sync " + path, [] {},
        [&] { std::erase_if(machine.unsynced, [&](const auto& file) { return file.rfind(path + "/", 0) == 0; }); });
}

void FakeHost::trim() {
    change(
        "trim", [] {}, [&] { machine.trimmed = true; });
}

/// What a program that hangs comes to: SIGTERM when its time is over. The world goes on meanwhile.
Answer FakeHost::give_up(unsigned seconds) {
    const std::int64_t end = machine.uptime + seconds;
    while (machine.uptime < end) (void)wait(1);
    return {128 + 15, "", ""};
}

Answer FakeHost::run(const std::vector<std::string>& argv, unsigned seconds) {
    const auto program = programs.find(argv.at(0));
    if (program == programs.end()) return {127, "", "no program " + argv[0]};
    if (only_asks(argv)) {
        asked.push_back("run" + joined(argv));
        return program->second(*this, argv);
    }
    Answer answer;
    const auto half = halves.find(argv[0]);
    try {
        change(
            "run" + joined(argv),
            [&] {
                if (half != halves.end()) half->second(*this);
            },
            [&] { answer = program->second(*this, argv); });
    } catch (const Hang&) {
        return give_up(seconds);
    }
    return answer;
}

bool FakeHost::reload(const std::string& service) {
    const auto found = reloads.find(service);
    if (found == reloads.end()) return false;
    change(
        "reload " + service, [] {}, [&] { found->second(*this); });
    return true;
}

void FakeHost::set_clock(std::int64_t seconds) {
    if (seconds <= machine.moment.now) return;
    change(
        "set clock", [] {}, [&] { machine.moment.now = seconds; });
}

bool FakeHost::wait(unsigned seconds) {
    machine.uptime += seconds;
    machine.moment.now += seconds;
    if (world) world(*this);
    return machine.uptime < stop_at;
}

void FakeHost::pause() {
    if (++tenths_ % 10 == 0) (void)wait(1);
}

std::string FakeHost::random(std::size_t bytes) {
    // The same every time, so that two runs can be compared.
    std::string text;
    for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(37 * (i + 1));
    return text;
}

void FakeHost::set_hostname(const std::string& name) {
    change(
        "set hostname", [] {}, [&] { put("/proc/sys/kernel/hostname", name + "\n"); });
}

std::optional<std::string> FakeHost::probe(const std::string&, const std::string& address) {
    const auto found = machine.neighbours.find(address);
    return found == machine.neighbours.end() ? std::nullopt : std::optional(found->second);
}

std::vector<Response> FakeHost::fetch(const std::vector<Request>& requests) {
    std::vector<Response> responses;
    responses.reserve(requests.size());
    for (const Request& request : requests) {
        responses.push_back(network ? network(*this, request) : Response{0, "", "no route to host", false});
    }
    return responses;
}

void FakeHost::answer_peers(const std::string&, const Credentials&, const std::string& its_statement) {
    statement = its_statement;
}

void FakeHost::write_table(const std::string& sector) {
    // One sector: all or nothing.
    change(
        "write table", [] {}, [&] { machine.disk.table = sector; });
}

void FakeHost::tell_partition(int number, std::uint64_t, std::uint64_t sectors) {
    change(
        "tell partition " + std::to_string(number), [] {},
        [&] {
            Disk& disk = machine.disk;
            if (number == disk.root_partition) disk.root_sectors = sectors;
            if (std::find(disk.partitions.begin(), disk.partitions.end(), number) == disk.partitions.end()) {
                disk.partitions.push_back(number);
            }
        });
}

void FakeHost::grow_root() {
    Disk& disk = machine.disk;
    change(
        "grow root",
        // ext4 grows by groups of blocks, each through its journal.
        [&] { disk.file_system_sectors += (disk.root_sectors - disk.file_system_sectors) / 2 / 8 * 8; },
        [&] { disk.file_system_sectors = disk.root_sectors / 8 * 8; });
}

Opened FakeHost::open_bundle(const std::string& sealed, const Trust& trust) {
    bundles.push_back(sealed);
    const std::string_view text = sealed;
    const std::size_t end = text.find('\n');
    if (text.rfind(seal_line, 0) != 0 || end == std::string_view::npos) throw Untrusted("it is no sealed bundle");
    const std::string signer(text.substr(seal_line.size(), end - seal_line.size()));
    if (std::find(trust.anchors.begin(), trust.anchors.end(), signer) == trust.anchors.end()) {
        throw Untrusted("nobody whom this card believes has sealed it");
    }
    if (std::find(trust.revoked.begin(), trust.revoked.end(), signer) != trust.revoked.end()) {
        throw Untrusted("its signer is revoked");
    }
    Opened opened{decode_bundle(text.substr(end + 1)), signer, not_before, INT64_MAX};
    const Bundle& bundle = opened.bundle;
    if (bundle.cluster_id != trust.cluster_id || bundle.node != trust.node || bundle.role != trust.role) {
        throw Untrusted("it is for " + bundle.node + ", and this is " + trust.node);
    }
    return opened;
}

std::vector<Delivery> FakeHost::deliveries() {
    std::vector<Delivery> found = machine.deliveries;
    if (after_read) after_read(*this, "");
    return found;
}

void FakeHost::wipe_delivery(const Delivery& delivery) {
    change(
        "wipe delivery " + delivery.place,
        [&] {
            for (Delivery& one : machine.deliveries) {
                if (one.place != delivery.place) continue;
                std::fill_n(one.bytes.begin(), one.bytes.size() / 2, '\0');
            }
        },
        [&] { std::erase_if(machine.deliveries, [&](const Delivery& one) { return one.place == delivery.place; }); });
}

void FakeHost::publish(const Status& status) {
    ++published;
    states.insert(status.state);
    const bool same = !statuses.empty() && statuses.back().state == status.state &&
                      statuses.back().stage == status.stage && statuses.back().waiting_for == status.waiting_for;
    if (same) {
        statuses.back() = status;
    } else {
        statuses.push_back(status);
    }
    if (after_change) after_change(*this);
}

void power_cycle(FakeMachine& machine) {
    machine.uptime = 5;
    machine.moment = {std::max<std::int64_t>(machine.boot_clock, 0), false};
    for (const std::string& path : machine.unsynced) {
        if (const auto file = machine.files.find(path); file != machine.files.end()) file->second.content.clear();
    }
    machine.unsynced.clear();
    machine.files["/proc/sys/kernel/hostname"].content = machine.files["/etc/hostname"].content;
    machine.files["/proc/modules"].content.clear();
    std::erase_if(machine.files, [](const auto& file) { return file.first.rfind("/run/", 0) == 0; });
    for (Interface& interface : machine.interfaces) interface.addresses.clear();
    Disk& disk = machine.disk;
    disk.partitions.clear();
    for (int number = 1; number <= 4; ++number) {
        const std::size_t offset = 446 + static_cast<std::size_t>(number - 1) * 16;
        const std::uint64_t sectors = number_at(disk.table, offset + 12);
        if (sectors == 0) continue;
        disk.partitions.push_back(number);
        if (number == disk.root_partition) disk.root_sectors = sectors;
    }
}

std::string seal(const Bundle& bundle, const std::string& signer) {
    return std::string(seal_line) + signer + "\n" + encode(bundle);
}

}  // namespace makina::test
