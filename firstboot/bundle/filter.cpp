#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "firstboot/bundle/confined.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
#error "the numbers of system calls are known for x86-64 and aarch64"
#endif

/// What the C library and OpenSSL need to compute: memory, locks, the clock, chance, an end. How many processors there
/// are malloc asks when it has no memory left and has given many threads a heap of their own (glibc, arena_get2).
constexpr long computing[] = {
    SYS_brk,    SYS_munmap, SYS_mremap, SYS_madvise,           SYS_futex,        SYS_getrandom, SYS_clock_gettime,
    SYS_getpid, SYS_gettid, SYS_exit,   SYS_sched_getaffinity, SYS_gettimeofday, SYS_exit_group};

constexpr std::uint16_t load = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t equal = BPF_JMP | BPF_JEQ | BPF_K;
constexpr std::uint16_t has_bit = BPF_JMP | BPF_JSET | BPF_K;
constexpr std::uint16_t answer = BPF_RET | BPF_K;

/// A program of seccomp(2), which looks at one system call at a time.
class Program {
  public:
    void add(std::uint16_t code, std::uint32_t value, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
        steps_.push_back({code, if_true, if_false, value});
    }
    /// The lower half of an argument: file descriptors and protections are 32 bits wide.
    void load_argument(std::size_t number) {
        add(load, static_cast<std::uint32_t>(offsetof(seccomp_data, args) + number * sizeof(std::uint64_t)));
    }
    void load_number() { add(load, static_cast<std::uint32_t>(offsetof(seccomp_data, nr))); }
    void allow() { add(answer, SECCOMP_RET_ALLOW); }
    void refuse(std::uint32_t error) { add(answer, SECCOMP_RET_ERRNO | error); }
    void kill() { add(answer, SECCOMP_RET_KILL_PROCESS); }

    void install() {
        const sock_fprog program{static_cast<unsigned short>(steps_.size()), steps_.data()};
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
            throw_system("the kernel does not confine the reader of bundles (seccomp)");
        }
    }

  private:
    std::vector<sock_filter> steps_;
};

}  // namespace

void allow_only_computing(int out) {
    Program program;
    program.add(load, static_cast<std::uint32_t>(offsetof(seccomp_data, arch)));
    program.add(equal, architecture, 1, 0);
    program.kill();
    program.load_number();
    for (const long number : computing) {
        program.add(equal, static_cast<std::uint32_t>(number), 0, 1);
        program.allow();
    }
    // write(out, ...).
    program.add(equal, SYS_write, 0, 4);
    program.load_argument(0);
    program.add(equal, static_cast<std::uint32_t>(out), 0, 1);
    program.allow();
    program.kill();
    // When memory ends, malloc looks into /proc for how it is shared out (glibc, check_may_shrink_heap). It gets no
    // file, and does without; were it killed for asking, a shortage would look like an attack.
    program.add(equal, SYS_openat, 0, 4);
    program.load_argument(2);
    program.add(equal, O_RDONLY | O_CLOEXEC, 0, 1);
    program.refuse(EACCES);
    program.kill();
    // mprotect without execution.
    program.add(equal, SYS_mprotect, 0, 4);
    program.load_argument(2);
    program.add(has_bit, PROT_EXEC, 1, 0);
    program.allow();
    program.kill();
    // mmap of memory alone, without execution.
    program.add(equal, SYS_mmap, 0, 6);
    program.load_argument(2);
    program.add(has_bit, PROT_EXEC, 3, 0);
    program.load_argument(4);
    program.add(equal, 0xffffffff, 0, 1);
    program.allow();
    program.kill();
    program.kill();
    program.install();
}

}  // namespace makina
