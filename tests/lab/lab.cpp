#include "tests/lab/lab.hpp"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina::lab {
namespace {

constexpr unsigned long own_machine = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC;

void mount_or_throw(const char* type, const fs::path& where, unsigned long flags, const std::string& data) {
    if (::mount(type, where.c_str(), type, flags, data.c_str()) != 0) throw_system("mounting " + where.string());
}

std::vector<std::string> entering(pid_t holder, bool whole_machine) {
    std::vector<std::string> argv = {"nsenter", "--target", std::to_string(holder), "--net"};
    if (whole_machine) argv.insert(argv.end(), {"--mount", "--pid", "--uts", "--ipc"});
    argv.emplace_back("--");
    return argv;
}

std::vector<std::string> together(std::vector<std::string> argv, const std::vector<std::string>& more) {
    argv.insert(argv.end(), more.begin(), more.end());
    return argv;
}

void write_file(const fs::path& path, const std::string& content, unsigned mode) {
    fs::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << content;
    file.close();
    if (!file || ::chmod(path.c_str(), mode) != 0) throw_system("writing " + path.string());
}

void own(const fs::path& path, const File& file) {
    const passwd* const user = ::getpwnam(file.user.c_str());
    const uid_t uid = user == nullptr ? 0 : user->pw_uid;
    const group* const entry = ::getgrnam(file.group.c_str());
    const gid_t gid = entry == nullptr ? 0 : entry->gr_gid;
    if (::lchown(path.c_str(), uid, gid) != 0) throw_system("giving away " + path.string());
}

/// The first process of a machine: takes in orphans, and ends with us.
[[noreturn]] void hold(int ready) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const char yes = 1;
    (void)!::write(ready, &yes, 1);
    for (unsigned descriptor = 3; descriptor < 1024; ++descriptor) ::close(static_cast<int>(descriptor));
    sigset_t all{};
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, nullptr);
    for (;;) {
        siginfo_t info{};
        ::sigwaitinfo(&all, &info);
        while (::waitpid(-1, nullptr, WNOHANG) > 0) {
        }
    }
}

std::string text_of(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

}  // namespace

std::string why_not() {
    if (::geteuid() != 0) return "needs root for namespaces and mounts";
    if (text_of("/proc/filesystems").find("\toverlay\n") == std::string::npos) return "needs a kernel with overlayfs";
    for (const auto& [program, package] :
         {std::pair("ip", "iproute2"), std::pair("nsenter", "util-linux"), std::pair("python3", "python3")}) {
        if (!have_program(program)) return std::string("needs ") + program + ": apt install " + package;
    }
    return "";
}

const fs::path& workshop() {
    static const fs::path folder = [] {
        if (::unshare(CLONE_NEWNS) != 0) throw_system("unshare");
        if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) throw_system("making mounts private");
        mount_or_throw("tmpfs", "/mnt", 0, "mode=0755");
        return fs::path("/mnt");
    }();
    return folder;
}

Holder::Holder(unsigned long flags) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_system("making a pipe");
    const Descriptor reader(ends[0]);
    Descriptor writer(ends[1]);
    pid_ = static_cast<pid_t>(::syscall(SYS_clone, flags | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (pid_ < 0) throw_system("making namespaces");
    if (pid_ == 0) hold(writer.get());
    writer.reset();
    char ready = 0;
    if (::read(reader.get(), &ready, 1) != 1) throw Error("the holder of namespaces ended at once");
}

Holder::~Holder() {
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

Switch::Switch() : holder_(CLONE_NEWNET) {
    run({"ip", "link", "add", "bridge", "type", "bridge", "forward_delay", "0", "stp_state", "0"});
    run({"ip", "link", "set", "bridge", "up"});
}

std::string Switch::run(const std::vector<std::string>& argv) const {
    return makina::run_checked({together(entering(pid(), false), argv)});
}

void Switch::cut(const std::string& port) const {
    run({"ip", "link", "set", port, "down"});
}

void Switch::heal(const std::string& port) const {
    run({"ip", "link", "set", port, "up"});
}

Machine::Machine(std::string name, fs::path card) : name_(std::move(name)), card_(std::move(card)) {
    static_cast<void>(workshop());
    for (const fs::path& folder : {root(), layer(), card_ / "work", card_ / "logs"}) fs::create_directories(folder);
}

Machine::~Machine() {
    power_off();
}

void Machine::install(const FileTree& files) const {
    for (const auto& [path, file] : files.files()) {
        const fs::path there = layer().string() + path;
        switch (file.kind) {
            case FileKind::regular:
                write_file(there, file.content, file.mode);
                break;
            case FileKind::directory:
                fs::create_directories(there);
                fs::permissions(there, static_cast<fs::perms>(file.mode));
                break;
            case FileKind::symlink:
                fs::create_directories(there.parent_path());
                fs::remove(there);
                fs::create_symlink(file.content, there);
                break;
        }
        own(there, file);
    }
}

void Machine::install(const std::string& path, const std::string& content, unsigned mode) const {
    write_file(layer().string() + path, content, mode);
}

void Machine::power_on() {
    if (is_on()) return;
    auto holder = std::make_unique<Holder>(own_machine);
    const auto do_inside = [&](const std::vector<std::string>& argv) {
        makina::run_checked({together(entering(holder->pid(), true), argv)});
    };
    const std::string root_folder = root().string();
    const std::string layers =
        "lowerdir=/,upperdir=" + layer().string() + ",workdir=" + (card_ / "work").string() + ",index=off";
    do_inside({"mount", "--make-rprivate", "/"});
    do_inside({"mount", "-t", "overlay", "overlay", "-o", layers, root_folder});
    do_inside({"mount", "-t", "proc", "proc", root_folder + "/proc"});
    do_inside({"mount", "--rbind", "/dev", root_folder + "/dev"});
    for (const char* const memory : {"/run", "/tmp"})
        do_inside({"mount", "-t", "tmpfs", "tmpfs", root_folder + memory});
    do_inside({"mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", root_folder + "/sys"});
    // What the daemon asks the kernel of a node about, as a node's kernel has it.
    do_inside({"mkdir", "-p", root_folder + "/sys/fs/cgroup", root_folder + "/run/systemd/timesync"});
    do_inside({"sh", "-c",
               "echo 'cpuset cpu io memory hugetlb pids' > " + root_folder + "/sys/fs/cgroup/cgroup.controllers; : > " +
                   root_folder + "/run/systemd/timesync/synchronized"});
    for (const auto& [ours, where] : lent_) {
        do_inside({"mkdir", "-p", root_folder + where});
        do_inside({"mount", "--bind", ours.string(), root_folder + where});
    }
    do_inside({"hostname", name_});
    do_inside({"ip", "link", "set", "lo", "up"});
    holder_ = std::move(holder);
}

void Machine::cut_power() {
    if (!is_on()) return;
    // The kernel takes a network apart only some time after its last process; until then it would answer for it.
    for (const auto& [into, port] : cables_)
        (void)makina::run({together(entering(into, false), {"ip", "link", "delete", port})});
    cables_.clear();
    ::kill(holder_->pid(), SIGKILL);
}

void Machine::power_off() {
    if (!is_on()) return;
    cut_power();
    for (const pid_t pid : started_) {
        ::kill(pid, SIGKILL);
        while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
    started_.clear();
    holder_.reset();
}

void Machine::plug(const Switch& into, const std::string& interface, const std::string& port) const {
    const std::string own = port.empty() ? name_ : port;
    // A machine that was killed a moment ago may still have its end of the cable.
    (void)makina::run({together(entering(into.pid(), false), {"ip", "link", "delete", own})});
    into.run(
        {"ip", "link", "add", own, "type", "veth", "peer", "name", interface, "netns", std::to_string(holder_->pid())});
    cables_.emplace_back(into.pid(), own);
    into.run({"ip", "link", "set", own, "master", "bridge", "up"});
    run_checked({"ip", "link", "set", interface, "up"});
}

void Machine::give(const std::string& interface, const std::string& cidr) const {
    run_checked({"ip", "address", "add", cidr, "dev", interface});
    run_checked({"ip", "link", "set", interface, "up"});
}

void Machine::freeze(bool frozen) const {
    // Every process of the machine but the first, which cannot be stopped from within and does nothing.
    (void)run({"sh", "-c", std::string("kill -") + (frozen ? "STOP" : "CONT") + " -1"});
}

std::vector<std::string> Machine::beside(const std::vector<std::string>& argv) const {
    if (!is_on()) throw Error(name_ + " is off");
    return together(entering(holder_->pid(), true), argv);
}

std::vector<std::string> Machine::inside(const std::vector<std::string>& argv) const {
    return beside(together({"chroot", root().string()}, argv));
}

Result Machine::run(const std::vector<std::string>& argv) const {
    return makina::run({inside(argv)});
}

std::string Machine::run_checked(const std::vector<std::string>& argv) const {
    return during("on " + name_, [&] { return makina::run_checked({inside(argv)}); });
}

pid_t Machine::start(const std::vector<std::string>& whole_argv, const std::string& log) const {
    const std::string path = (card_ / "logs" / log).string();
    const pid_t pid = ::fork();
    if (pid < 0) throw_system("fork");
    if (pid > 0) {
        started_.push_back(pid);
        return pid;
    }
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    const int nothing = ::open("/dev/null", O_RDONLY);
    if (file < 0 || nothing < 0 || ::dup2(nothing, 0) < 0 || ::dup2(file, 1) < 0 || ::dup2(file, 2) < 0) ::_exit(126);
    std::vector<char*> pointers;
    pointers.reserve(whole_argv.size() + 1);
    for (const std::string& word : whole_argv) pointers.push_back(const_cast<char*>(word.c_str()));
    pointers.push_back(nullptr);
    ::execvp(pointers[0], pointers.data());
    ::_exit(127);
}

pid_t Machine::start_daemon(const std::vector<std::string>& arguments) const {
    const std::string programs = MAKINA_SOURCE "/tests/lab/programs";
    return start(
        beside(together({MAKINA_FIRSTBOOT, "run", "--root", root().string(), "--programs", programs}, arguments)),
        "daemon");
}

std::string Machine::daemon_status() const {
    const Result result = makina::run({beside({MAKINA_FIRSTBOOT, "status", "--json", "--root", root().string()})});
    return result.status == 0 ? result.output : "";
}

fs::path Machine::network() const {
    if (!is_on()) throw Error(name_ + " is off");
    return "/proc/" + std::to_string(holder_->pid()) + "/ns/net";
}

fs::path Machine::file(const std::string& path) const {
    if (!is_on()) return layer().string() + path;
    return "/proc/" + std::to_string(holder_->pid()) + "/root" + root().string() + path;
}

std::string Machine::log(const std::string& name) const {
    return text_of(card_ / "logs" / name);
}

bool becomes_true(double seconds, const std::function<bool()>& question) {
    const double end = steady_seconds() + seconds;
    while (!question()) {
        if (steady_seconds() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return true;
}

double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace makina::lab
