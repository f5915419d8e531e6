#include "firstboot/machine/deliveries.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr const char* boot_partition = "/boot/firmware";
constexpr const char* mount_point = "/run/makina/stick";
constexpr std::size_t most_sticks = 8;

/// A stick while it is mounted.
class Mounted {
  public:
    /// Not mounted if no file system fits. FAT and exFAT alone: what else a stranger's stick says that it is, the
    /// kernel's code for it is not asked to read.
    Mounted(const Files& files, const std::string& stick, bool writable)
        : folder_(files.make_folder(mount_point, {0700, "root", "root"})) {
        const unsigned long flags =
            MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | (writable ? MS_SYNCHRONOUS : MS_RDONLY);
        const std::string device = "/dev/" + stick;
        for (const char* const type : {"vfat", "exfat"}) {
            if (mount(device.c_str(), mount_point, type, flags, "umask=077") != 0) continue;
            mounted_ = true;
            folder_ = files.folder(mount_point);
            return;
        }
    }
    Mounted(const Mounted&) = delete;
    Mounted& operator=(const Mounted&) = delete;
    ~Mounted() { (void)release(); }

    [[nodiscard]] bool mounted() const { return mounted_; }
    [[nodiscard]] int folder() const { return folder_.get(); }
    [[nodiscard]] bool release() {
        folder_.reset();
        return !std::exchange(mounted_, false) || umount2(mount_point, UMOUNT_NOFOLLOW) == 0;
    }

  private:
    Descriptor folder_;
    bool mounted_ = false;
};

/// "sda1" of "sda1:makina.bundle"; empty if it is a path.
std::string stick_of(const std::string& place) {
    const std::size_t colon = place.find(':');
    return colon == std::string::npos || place.rfind('/', 0) == 0 ? "" : place.substr(0, colon);
}

std::uint64_t number_in(const std::filesystem::path& file) {
    std::uint64_t number = 0;
    std::ifstream(file) >> number;
    return number;
}

std::string bytes_of(int file) {
    std::string bytes(Bundle::largest + 1, '\0');
    std::size_t size = 0;
    while (size < bytes.size()) {
        const ssize_t count = read(file, bytes.data() + size, bytes.size() - size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return "";
        if (count == 0) break;
        size += static_cast<std::size_t>(count);
    }
    bytes.resize(size > Bundle::largest ? 0 : size);
    return bytes;
}

}  // namespace

std::optional<Delivery> delivery_in(int folder, const std::string& place) {
    const Descriptor file(openat(folder, delivery_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file && errno == ENOENT) return std::nullopt;
    struct stat facts {};
    const bool fits = file && fstat(file.get(), &facts) == 0 && S_ISREG(facts.st_mode) &&
                      facts.st_size <= static_cast<off_t>(Bundle::largest);
    return Delivery{place, fits ? bytes_of(file.get()) : ""};
}

std::vector<Stick> usb_sticks(const std::string& sysfs) {
    std::vector<Stick> sticks;
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(sysfs + "/class/block", none)) {
        const auto folder = std::filesystem::canonical(entry.path(), none);
        const bool partition = std::filesystem::exists(folder / "partition", none);
        const auto disk = partition ? folder.parent_path() : folder;
        if (folder.string().find("/usb") == std::string::npos || number_in(disk / "removable") != 1) continue;
        // A disk with partitions has no file system of its own.
        const std::string name = entry.path().filename();
        const auto parts = std::filesystem::directory_iterator(folder, none);
        const bool parted = std::any_of(begin(parts), end(parts), [](const auto& inner) {
            std::error_code ignored;
            return std::filesystem::exists(inner.path() / "partition", ignored);
        });
        if (!parted && number_in(folder / "size") > 0) sticks.push_back({name, number_in(disk / "diskseq")});
    }
    std::sort(sticks.begin(), sticks.end(), [](const Stick& a, const Stick& b) { return a.name < b.name; });
    if (sticks.size() > most_sticks) sticks.resize(most_sticks);
    return sticks;
}

std::vector<Delivery> Deliveries::all() {
    std::vector<Delivery> found;
    if (const Descriptor folder = files_.folder(boot_partition)) {
        if (auto delivery = delivery_in(folder.get(), std::string(boot_partition) + "/" + delivery_name)) {
            found.push_back(std::move(*delivery));
        }
    }
    if (!sticks_) return found;
    std::map<std::string, Seen> present;
    for (const Stick& stick : usb_sticks("/sys")) {
        const auto known = seen_.find(stick.name);
        if (known != seen_.end() && stick.plugged != 0 && known->second.plugged == stick.plugged) {
            present.insert(*known);
        } else {
            const Mounted mounted(files_, stick.name, false);
            Seen seen{stick.plugged, std::nullopt};
            if (mounted.mounted()) seen.delivery = delivery_in(mounted.folder(), stick.name + ":" + delivery_name);
            present.emplace(stick.name, std::move(seen));
        }
        const auto& delivery = present.at(stick.name).delivery;
        if (delivery) found.push_back(*delivery);
    }
    seen_ = std::move(present);
    return found;
}

void Deliveries::wipe(const Delivery& delivery) {
    const std::string stick = stick_of(delivery.place);
    if (stick.empty()) return files_.wipe(delivery.place);
    if (!sticks_ || stick.find('/') != std::string::npos) throw Error("no stick here: " + delivery.place);
    Mounted mounted(files_, stick, true);
    if (!mounted.mounted()) throw_system("mounting /dev/" + stick + " to wipe " + delivery.place);
    during("wiping " + delivery.place, [&] {
        Descriptor file(openat(mounted.folder(), delivery_name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (!file && errno == ENOENT) return;
        if (!file) throw_system("opening");
        overwrite(file.get());
        file.reset();
        if (unlinkat(mounted.folder(), delivery_name, 0) != 0) throw_system("removing");
        if (syncfs(mounted.folder()) != 0) throw_system("syncing");
        if (!mounted.release()) throw_system("unmounting");
    });
    seen_.erase(stick);
}

}  // namespace makina
