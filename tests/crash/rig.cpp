#include "tests/crash/rig.hpp"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include "builder/disk/disk.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina::crash {
namespace {

/// Asks again every few milliseconds, for at most five seconds.
bool becomes_true(const std::function<bool()>& question) {
    for (int i = 0; i < 1000; ++i) {
        if (question()) return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
}

/// Where sysfs tells of a disk or of its partition: "loop3", "loop3p2".
fs::path sys_of(const std::string& name) {
    const std::size_t end = name.find('p', 4);
    const fs::path disk = fs::path("/sys/block") / name.substr(0, end);
    return end == std::string::npos ? disk : disk / name;
}

void enter_workshop() {
    if (::unshare(CLONE_NEWNS | CLONE_NEWNET) != 0) throw_system("unshare");
    if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) throw_system("making mounts private");
    if (::mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0700") != 0) throw_system("mounting a tmpfs on /mnt");
}

}  // namespace

std::string why_not() {
    if (::geteuid() != 0) return "needs root for loop devices and mounts";
    for (const char* const device : {"/dev/loop-control", "/dev/fuse"}) {
        if (::access(device, R_OK | W_OK) != 0) return std::string("needs ") + device;
    }
    for (const auto& [program, package] : {std::pair("qemu-storage-daemon", "qemu-system-common"),
                                           std::pair("mke2fs", "e2fsprogs"), std::pair("ip", "iproute2")}) {
        if (!have_program(program)) return std::string("needs ") + program + ": apt install " + package;
    }
    return "";
}

const fs::path& workshop() {
    static const fs::path folder = [] {
        enter_workshop();
        return fs::path("/mnt");
    }();
    return folder;
}

void side_by_side(std::size_t count, unsigned threads,
                  const std::function<void(std::size_t number, unsigned worker)>& work) {
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> workers;
    for (unsigned worker = 0; worker < threads; ++worker) {
        workers.emplace_back([&, worker] {
            for (std::size_t number = next++; number < count; number = next++) work(number, worker);
        });
    }
    for (std::thread& worker : workers) worker.join();
}

Loop::Loop(const fs::path& file) {
    attach(file, 0, 0, true);
    // Told rather than scanned: not every kernel reads MBRs.
    for (const Partition& partition : read_partition_table(file).partitions) {
        blkpg_partition place{};
        place.start = static_cast<long long>(partition.offset);
        place.length = static_cast<long long>(partition.size);
        place.pno = partition.number;
        blkpg_ioctl_arg argument{BLKPG_ADD_PARTITION, 0, sizeof place, &place};
        // Busy: it has been scanned.
        if (::ioctl(device_.get(), BLKPG, &argument) != 0 && errno != EBUSY) throw_system("adding a partition");
        node_of(whole_.filename().string() + "p" + std::to_string(partition.number));
    }
}

Loop::Loop(const fs::path& file, std::uint64_t offset, std::uint64_t size) {
    attach(file, offset, size, false);
}

/// The kernel makes nodes in /dev, unless this is a container with a /dev of its own.
fs::path Loop::node_of(const std::string& name) {
    unsigned major = 0;
    unsigned minor = 0;
    char colon = 0;
    std::ifstream(sys_of(name) / "dev") >> major >> colon >> minor;
    if (colon != ':') throw Error("there is no block device " + name);
    fs::path node = fs::path("/dev") / name;
    if (::mknod(node.c_str(), S_IFBLK | 0600, makedev(major, minor)) == 0) {
        made_.push_back(node);
    } else if (errno != EEXIST) {
        throw_system("making " + node.string());
    }
    return node;
}

void Loop::attach(const fs::path& file, std::uint64_t offset, std::uint64_t size, bool partitions) {
    const Descriptor backing(::open(file.c_str(), O_RDWR | O_CLOEXEC));
    if (!backing) throw_system("opening " + file.string());
    const Descriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control) throw_system("opening /dev/loop-control");
    loop_config config{};
    config.fd = static_cast<std::uint32_t>(backing.get());
    config.info.lo_offset = offset;
    config.info.lo_sizelimit = size;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (partitions) config.info.lo_flags |= LO_FLAGS_PARTSCAN;
    // Somebody else may take the free one before we do, or remove it.
    const bool attached = becomes_true([&] {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) throw_system("asking for a free loop device");
        whole_ = node_of("loop" + std::to_string(number));
        device_ = Descriptor(::open(whole_.c_str(), O_RDWR | O_CLOEXEC));
        if (!device_ && errno != ENXIO) throw_system("opening a loop device");
        if (!device_) return false;
        if (::ioctl(device_.get(), LOOP_CONFIGURE, &config) == 0) return true;
        if (errno != EBUSY) throw_system("attaching " + file.string());
        return false;
    });
    if (!attached) throw Error("no loop device stays free for long enough");
}

Loop::~Loop() {
    if (!device_) return;
    ::ioctl(device_.get(), LOOP_CLR_FD);
    device_.reset();
    // The file underneath is complete only when the kernel has let go of it.
    becomes_true([&] { return !fs::exists(sys_of(whole_.filename()) / "loop"); });
    for (const fs::path& node : made_) ::unlink(node.c_str());
}

Mounted::Mounted(const fs::path& device, const fs::path& folder) : folder_(folder) {
    fs::create_directories(folder);
    if (::mount(device.c_str(), folder.c_str(), "ext4", MS_NOATIME, "errors=remount-ro") != 0) {
        throw_system("mounting " + device.string());
    }
}

Mounted::~Mounted() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
}

void Mounted::unmount() {
    // A program that a killed daemon had started may still be ending.
    const bool gone = becomes_true([&] { return ::umount2(folder_.c_str(), 0) == 0 || errno != EBUSY; });
    if (!gone) throw Error("unmounting " + folder_.string() + ": somebody uses it");
    mounted_ = false;
}

LoggedCard::LoggedCard(const fs::path& card, const fs::path& log) : file_(workshop() / "logged.img") {
    std::ofstream(file_, std::ios::trunc).flush();
    std::ofstream(log, std::ios::trunc).flush();
    const std::vector<std::string> argv = {
        "qemu-storage-daemon",
        "--blockdev",
        "driver=file,node-name=card,discard=unmap,filename=" + card.string(),
        "--blockdev",
        "driver=file,node-name=log,filename=" + log.string(),
        "--blockdev",
        "driver=blklogwrites,node-name=logged,file=card,log=log",
        "--export",
        "type=fuse,id=export,node-name=logged,writable=on,mountpoint=" + file_.string()};
    std::vector<char*> pointers;
    pointers.reserve(argv.size() + 1);
    for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
    pointers.push_back(nullptr);
    child_ = ::fork();
    if (child_ < 0) throw_system("fork");
    if (child_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::execvp(pointers[0], pointers.data());
        ::_exit(127);
    }
    // An empty file until the export covers it.
    const bool ready = becomes_true([&] {
        std::error_code ignored;
        return fs::file_size(file_, ignored) == fs::file_size(card) || ::waitpid(child_, nullptr, WNOHANG) == child_;
    });
    if (!ready || fs::file_size(file_) == 0) {
        end();
        throw Error("qemu-storage-daemon does not show " + card.string());
    }
}

LoggedCard::~LoggedCard() {
    end();
}

void LoggedCard::end() {
    if (::kill(child_, SIGTERM) == 0) ::waitpid(child_, nullptr, 0);
}

}  // namespace makina::crash
