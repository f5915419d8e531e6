#include "builder/flash/device.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

/// One line of sysfs, without blanks at its ends; empty if there is none.
std::string line_of(const fs::path& file) {
    std::ifstream stream(file);
    std::string line;
    std::getline(stream, line);
    const std::size_t begin = line.find_first_not_of(" \t");
    if (begin == std::string::npos) return "";
    return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

std::optional<std::uint64_t> number_of(const fs::path& file) {
    const std::string line = line_of(file);
    std::uint64_t number = 0;
    const auto read = std::from_chars(line.data(), line.data() + line.size(), number);
    if (line.empty() || read.ec != std::errc() || read.ptr != line.data() + line.size()) return std::nullopt;
    return number;
}

std::uint64_t require_number(const fs::path& file) {
    if (const auto number = number_of(file)) return *number;
    throw Error("the kernel does not tell " + file.string());
}

std::vector<fs::path> entries(const fs::path& folder) {
    std::vector<fs::path> found;
    std::error_code failed;
    for (fs::directory_iterator at(folder, failed), end; !failed && at != end; at.increment(failed))
        found.push_back(at->path());
    std::sort(found.begin(), found.end());
    return found;
}

/// The mounts of every process that we may ask, each name space once.
std::vector<std::string> mounts(const fs::path& root) {
    std::set<std::string> spaces;
    std::vector<std::string> lines;
    std::vector<fs::path> processes = {root / "proc/self"};
    for (const fs::path& entry : entries(root / "proc")) {
        const std::string name = entry.filename();
        if (std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
            processes.push_back(entry);
    }
    for (const fs::path& process : processes) {
        std::error_code failed;
        const fs::path space = fs::read_symlink(process / "ns/mnt", failed);
        if (!failed && !spaces.insert(space.string()).second) continue;
        std::ifstream file(process / "mountinfo");
        for (std::string line; std::getline(file, line);) lines.push_back(line);
    }
    return lines;
}

std::string last_part(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

/// What is told of a disk and its partitions.
class Reader {
  public:
    Reader(const std::string& number, const fs::path& root) : root_(root) {
        std::error_code failed;
        folder_ = fs::canonical(root / "sys/dev/block" / number, failed);
        if (failed) throw Error("the kernel knows no block device " + number);
        facts_.number = number;
        facts_.name = folder_.filename();
    }

    DeviceFacts read() {
        facts_.is_partition = fs::exists(folder_ / "partition");
        facts_.size = require_number(folder_ / "size") * 512;  // in units of 512 bytes, whatever the sectors are
        facts_.read_only = require_number(folder_ / "ro") != 0;
        if (facts_.is_partition) return facts_;
        facts_.removable = require_number(folder_ / "removable") != 0;
        facts_.sequence = number_of(folder_ / "diskseq");
        facts_.zeroes = number_of(folder_ / "queue/write_zeroes_max_bytes").value_or(0) > 0;
        facts_.type = line_of(folder_ / "device/type");
        read_bus();
        read_names();
        read_parts();
        read_holders();
        read_mounts();
        read_others();
        return facts_;
    }

  private:
    /// The folders above a device are the buses that lead to it. An SD slot may be behind USB (rtsx_usb_sdmmc): what is
    /// in it tells its own type and serial number all the same.
    void read_bus() {
        const std::string path = "/" + folder_.lexically_relative(fs::canonical(root_ / "sys")).string();
        if (path.find("/mmc_host/") != std::string::npos) {
            facts_.bus = Bus::mmc;
        } else if (path.rfind("/devices/virtual/block/loop", 0) == 0) {
            facts_.bus = Bus::loop;
            facts_.backing = backing_of(facts_.name, root_);
        }
        if (facts_.bus != Bus::other) return;
        for (fs::path above = folder_; above != above.root_path() && above != root_; above = above.parent_path()) {
            if (!fs::exists(above / "idVendor")) continue;
            facts_.bus = Bus::usb;
            facts_.serial = line_of(above / "serial");
            facts_.slot = slot();
            break;
        }
    }
    /// SCSI names a unit HOST:CHANNEL:TARGET:LUN; a reader's slots are its units.
    [[nodiscard]] std::optional<unsigned> slot() const {
        const fs::path unit = folder_.parent_path().parent_path();
        const std::string name = unit.filename();
        const std::size_t colon = name.rfind(':');
        if (colon == std::string::npos) return std::nullopt;
        const auto units = entries(unit.parent_path());
        const auto is_unit = [&](const fs::path& entry) {
            return entry.filename().string().rfind(name.substr(0, colon + 1), 0) == 0;
        };
        unsigned lun = 0;
        const auto read = std::from_chars(&name[colon + 1], name.data() + name.size(), lun);
        if (read.ec != std::errc() || std::count_if(units.begin(), units.end(), is_unit) < 2) return std::nullopt;
        return lun + 1;
    }
    void read_names() {
        const std::map<std::string, std::string> noted = udev(facts_.number);
        const auto value = [&](const char* key) { return noted.count(key) == 0 ? "" : noted.at(key); };
        const std::string vendor = line_of(folder_ / "device/vendor");
        const std::string model = line_of(folder_ / "device/model");
        facts_.model = vendor + (vendor.empty() || model.empty() ? "" : " ") + model;
        if (facts_.model.empty()) facts_.model = line_of(folder_ / "device/name");  // mmc
        if (facts_.backing) facts_.model = facts_.backing->path;
        if (const std::string serial = line_of(folder_ / "device/serial"); !serial.empty()) facts_.serial = serial;
        if (const std::string serial = value("ID_SERIAL_SHORT"); !serial.empty()) facts_.serial = serial;
        for (const fs::path& link : entries(root_ / "dev/disk/by-id")) {
            std::error_code failed;
            if (last_part(fs::read_symlink(link, failed).string()) == facts_.name && !is_shared(link.filename()))
                facts_.ids.push_back(link.filename());
        }
    }
    /// True if udev has given another device the same name: two readers of one make often have one serial number.
    [[nodiscard]] bool is_shared(const std::string& id) const {
        for (const fs::path& notes : entries(root_ / "run/udev/data")) {
            if (notes.filename().string()[0] != 'b' || notes.filename() == "b" + facts_.number) continue;
            std::ifstream file(notes);
            for (std::string line; std::getline(file, line);) {
                if (line == "S:disk/by-id/" + id) return true;
            }
        }
        return false;
    }
    void read_parts() {
        add_part(facts_.name, facts_.number, facts_.size);
        for (const fs::path& entry : entries(folder_)) {
            if (!fs::exists(entry / "partition")) continue;
            add_part(entry.filename(), line_of(entry / "dev"), require_number(entry / "size") * 512);
        }
    }
    void add_part(const std::string& name, const std::string& number, std::uint64_t size) {
        names_.insert(name);
        numbers_[number] = name;
        const std::map<std::string, std::string> noted = udev(number);
        DeviceFacts::Part part{name, size, {}, {}};
        if (const auto found = noted.find("ID_FS_TYPE"); found != noted.end()) part.file_system = found->second;
        if (const auto found = noted.find("ID_FS_LABEL"); found != noted.end()) part.label = found->second;
        if (name != facts_.name || !part.file_system.empty()) facts_.parts.push_back(std::move(part));
    }
    void read_holders() {
        for (const std::string& name : names_) {
            const fs::path folder = name == facts_.name ? folder_ : folder_ / name;
            for (const fs::path& holder : entries(folder / "holders"))
                facts_.uses.push_back(name + " is part of " + holder.filename().string());
        }
        // A btrfs of several disks is mounted from one of them.
        for (const fs::path& system : entries(root_ / "sys/fs/btrfs")) {
            for (const fs::path& device : entries(system / "devices")) {
                if (names_.count(device.filename()) != 0)
                    facts_.uses.push_back(device.filename().string() + " is part of a btrfs that is mounted");
            }
        }
    }
    /// proc(5): the third word is the device's number, the fifth the mount point; behind " - " type and source.
    void read_mounts() {
        std::set<std::string> said;
        for (const std::string& line : mounts(root_)) {
            std::istringstream words(line);
            std::string word;
            std::vector<std::string> all;
            while (words >> word) all.push_back(word);
            const auto dash = std::find(all.begin(), all.end(), "-");
            if (all.size() < 6) continue;
            std::string name;
            if (const auto found = numbers_.find(all[2]); found != numbers_.end()) name = found->second;
            if (name.empty() && all.end() - dash > 2 && dash[2].rfind("/dev/", 0) == 0 &&
                names_.count(last_part(dash[2])) != 0)
                name = last_part(dash[2]);
            if (!name.empty() && said.insert(name + all[4]).second)
                facts_.uses.push_back(name + " is mounted on " + all[4]);
        }
    }
    void read_others() {
        for (const fs::path& area : swap_areas(root_)) {
            const std::string name = last_part(area.string());
            if (area.string().rfind("/dev/", 0) == 0 && names_.count(name) != 0)
                facts_.uses.push_back(name + " is swapped to");
        }
        for (const fs::path& device : entries(root_ / "sys/block")) {
            const auto backing = backing_of(device.filename(), root_);
            if (!backing) continue;
            const auto found = numbers_.find(backing->device);
            std::string name = found == numbers_.end() ? "" : found->second;
            if (name.empty() && backing->path.rfind("/dev/", 0) == 0 && names_.count(last_part(backing->path)) != 0)
                name = last_part(backing->path);
            if (!name.empty()) facts_.uses.push_back(name + " is shown by " + device.filename().string());
        }
        if (!facts_.backing || !facts_.backing->file) return;
        for (const std::string& use : uses_of(*facts_.backing->file, facts_.name, root_))
            facts_.uses.push_back(facts_.backing->path + " " + use);
    }
    /// udev's notes: lines "E:KEY=VALUE" (systemd, src/libsystemd/sd-device/device-private.c).
    [[nodiscard]] std::map<std::string, std::string> udev(const std::string& number) const {
        std::map<std::string, std::string> notes;
        std::ifstream file(root_ / "run/udev/data" / ("b" + number));
        for (std::string line; std::getline(file, line);) {
            const std::size_t equal = line.find('=');
            if (line.rfind("E:", 0) == 0 && equal != std::string::npos)
                notes[line.substr(2, equal - 2)] = line.substr(equal + 1);
        }
        return notes;
    }

    fs::path root_, folder_;
    DeviceFacts facts_;
    std::set<std::string> names_;                 ///< of the disk and its partitions
    std::map<std::string, std::string> numbers_;  ///< "8:17" -> "sdb1"
};

}  // namespace

DeviceFacts read_device(const std::string& number, const fs::path& root) {
    return Reader(number, root).read();
}

std::vector<DeviceFacts> list_devices(const fs::path& root) {
    std::vector<DeviceFacts> devices;
    for (const fs::path& entry : entries(root / "sys/block")) {
        try {
            devices.push_back(read_device(line_of(entry / "dev"), root));
        } catch (const Error&) {
            continue;  // it went away meanwhile, or it is nothing that anybody could write
        }
    }
    return devices;
}

std::optional<std::string> device_number(const fs::path& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return std::nullopt;
    return device_number(status.st_rdev);
}

std::shared_ptr<Medium> open_card(const DeviceFacts& chosen, std::uint64_t image_size, bool allow_large,
                                  const std::vector<fs::path>& sources) {
    const std::string path = "/dev/" + chosen.name;
    Descriptor device(open(path.c_str(), O_RDWR | O_EXCL | O_DIRECT | O_CLOEXEC | O_NOFOLLOW));
    if (!device && errno == EBUSY) {
        throw Error(path +
                    " is in use: by a file system of several disks, by a RAID, or by another program that "
                    "writes it; end that first");
    }
    if (!device && (errno == EACCES || errno == EPERM))
        throw Error(path + ": you may not write it: run the command with sudo, or join the group that may (disk)");
    if (!device) throw_system("opening " + path);
    struct stat status {};
    if (fstat(device.get(), &status) != 0) throw_system("looking at " + path);
    if (!S_ISBLK(status.st_mode)) throw Error(path + " is no block device any more");
    const std::string number = device_number(status.st_rdev);
    const DeviceFacts facts = read_device(number);
    if (const auto reason = refusal(facts, image_size, allow_large)) throw Error(*reason);
    if (const auto reason = overlap(path, facts.backing ? facts.backing->file : std::nullopt, sources))
        throw Error(*reason);
    auto medium = block_medium(std::move(device), path, facts.zeroes);
    if (number != chosen.number || facts.serial != chosen.serial || facts.sequence != chosen.sequence ||
        medium->sequence() != chosen.sequence)
        throw Error(path + ": another card is in the reader than the one that was chosen: choose again");
    return medium;
}

void require_free_file(const fs::path& file, const fs::path& root) {
    const auto id = file_id(file);
    if (!id) return;  // it is not there yet
    for (const std::string& use : uses_of(*id, "", root))
        throw Error(file.string() + " " + use + ": it cannot be overwritten");
}

std::optional<std::string> overlap(const std::string& name, const std::optional<FileId>& target,
                                   const std::vector<fs::path>& sources) {
    for (const fs::path& source : sources) {
        if (target && file_id(source) == target)
            return name + " is the image itself (" + source.string() + "): name the device that it is to be written to";
    }
    return std::nullopt;
}

}  // namespace makina
