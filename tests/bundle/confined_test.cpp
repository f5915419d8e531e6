#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <barrier>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "firstboot/bundle/confined.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/sealed.hpp"
#include "tests/bundle/bundles.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

/// What `confined` says of work that ends badly; "gave: ..." if it does not.
std::string words(const std::function<std::string()>& work, const Patience& patience = {}) {
    try {
        return "gave: " + confined("the work", work, patience);
    } catch (const Untrusted& error) {
        return error.what();
    } catch (const Error& error) {
        return std::string("fault: ") + error.what();
    }
}

const std::string killed = "the work ended with signal " + std::to_string(SIGSYS);

TEST(Row20, OpensTheSameBundleInAChild) {
    const forge::World world;
    const std::string sealed = world.sealed(forge::bundle_of_size(63 << 10));
    const Opened here = open_sealed(sealed, world.trust);
    const Opened there = open_sealed_confined(sealed, world.trust);
    EXPECT_EQ(there.bundle, here.bundle);
    EXPECT_EQ(there.signer, here.signer);
    EXPECT_EQ(there.not_before, here.not_before);
    EXPECT_EQ(there.not_after, here.not_after);
}

TEST(Row20, SaysTheSameOfAWrongBundle) {
    const forge::World world;
    std::string sealed = world.sealed();
    sealed.back() ^= 1;
    std::string here;
    try {
        static_cast<void>(open_sealed(sealed, world.trust));
    } catch (const Untrusted& error) {
        here = error.what();
    }
    ASSERT_NE(here, "");
    try {
        static_cast<void>(open_sealed_confined(sealed, world.trust));
        ADD_FAILURE();
    } catch (const Untrusted& error) {
        EXPECT_EQ(error.what(), here);
    }
}

TEST(Row20, GivesWhatTheWorkGives) {
    EXPECT_EQ(words([] { return std::string("an answer"); }), "gave: an answer");
    EXPECT_EQ(words([] { return std::string(1 << 20, 'x'); }), "gave: " + std::string(1 << 20, 'x'));
    EXPECT_EQ(words([]() -> std::string { throw Untrusted("a forgery"); }), "a forgery");
    EXPECT_EQ(words([]() -> std::string { throw Error("out of order"); }), "fault: out of order");
    EXPECT_EQ(words([]() -> std::string { throw std::runtime_error("of a library"); }), "of a library");
    EXPECT_EQ(words([] { return std::string((2 << 20) + 1, 'x'); }).rfind("the work ended with", 0), 0U);
}

TEST(Row20, DistrustsAChildThatEndsByAFault) {
    EXPECT_EQ(words([]() -> std::string {
                  static_cast<void>(std::raise(SIGSEGV));  // tgkill is not allowed either
                  return "";
              }),
              killed);
    EXPECT_EQ(words([]() -> std::string {
                  // As a wild pointer in a parser would: a page that nobody may write to.
                  auto* const page =
                      static_cast<volatile char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
                  *page = 1;
                  return "";
              }),
              "the work ended with signal " + std::to_string(SIGSEGV));
    EXPECT_EQ(words([]() -> std::string { std::abort(); }), killed);
    EXPECT_EQ(words([]() -> std::string { _exit(0); }), "the work ended without an answer");
    EXPECT_EQ(words([]() -> std::string { _exit(3); }), "the work ended without an answer");
}

TEST(Row20, GivesUpAChildThatHangsWithoutDistrustingIt) {
    const std::string given_up = "fault: the work was given up: the machine is too slow or too full at the moment";
    const std::string computing = words(
        []() -> std::string {
            while (getpid() != 0) {
            }
            return "";
        },
        {1, 60});
    EXPECT_EQ(computing, given_up);
    // A lock that nobody opens takes no computing time.
    EXPECT_EQ(words(
                  []() -> std::string {
                      int lock = 0;
                      for (;;) syscall(SYS_futex, &lock, 0 /* FUTEX_WAIT */, 0, nullptr, nullptr, 0);
                  },
                  {20, 1}),
              given_up);
}

std::string take_a_gigabyte() {
    std::vector<std::string> much;
    much.reserve(64);
    for (int i = 0; i < 64; ++i) much.emplace_back(std::size_t{16} << 20, 'x');
    return "had a gigabyte";
}

TEST(Row20, EndsAChildThatTakesAllMemory) {
    EXPECT_EQ(words(take_a_gigabyte), "fault: too little memory");
    // With many heaps malloc looks for another one before it gives up.
    std::barrier together(17);
    std::vector<std::jthread> threads;
    threads.reserve(16);
    for (int i = 0; i < 16; ++i) {
        threads.emplace_back([&together] {
            const std::string own(100, 'x');
            together.arrive_and_wait();
            together.arrive_and_wait();
        });
    }
    together.arrive_and_wait();
    const std::string said = words(take_a_gigabyte);
    together.arrive_and_wait();
    EXPECT_EQ(said, "fault: too little memory");
}

TEST(Row20, KillsAChildThatDoesMoreThanCompute) {
    const Scratch scratch;
    const std::string file = scratch.write("file", "text").string();
    const int open_here = ::open(file.c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_GE(open_here, 0);
    const std::vector<std::pair<const char*, std::function<void()>>> deeds = {
        {"open", [&] { static_cast<void>(::open(file.c_str(), O_RDONLY)); }},
        {"create", [&] { static_cast<void>(::open((file + ".new").c_str(), O_CREAT | O_WRONLY, 0600)); }},
        {"unlink", [&] { unlink(file.c_str()); }},
        {"rename", [&] { static_cast<void>(std::rename(file.c_str(), "other")); }},
        {"socket", [] { socket(AF_INET, SOCK_STREAM, 0); }},
        {"fork", [] { fork(); }},
        {"exec", [] { execl("/bin/true", "true", nullptr); }},
        {"kill", [] { kill(getppid(), 0); }},
        {"write to a file that was open", [&] { static_cast<void>(write(open_here, "x", 1)); }},
        {"write to standard error", [] { static_cast<void>(write(2, "x", 1)); }},
        {"read",
         [] {
             char c = 0;
             static_cast<void>(read(0, &c, 1));
         }},
        {"memory to execute",
         [] { static_cast<void>(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); }},
        {"memory of a file", [&] { static_cast<void>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, open_here, 0)); }},
        {"make memory executable",
         [] {
             void* const page = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
             mprotect(page, 4096, PROT_READ | PROT_EXEC);
         }},
        {"a later alarm", [] { alarm(0); }},
        {"ignore the alarm", [] { static_cast<void>(std::signal(SIGALRM, SIG_IGN)); }},
        {"trace", [] { syscall(SYS_ptrace, 0, 0, 0, 0); }},
        {"io_uring", [] { syscall(425 /* io_uring_setup */, 1, nullptr); }},
    };
    for (const auto& each : deeds) {
        EXPECT_EQ(words([&] {
                      each.second();
                      return std::string("done");
                  }),
                  killed)
            << each.first;
    }
    EXPECT_EQ(slurp(file), "text");
    EXPECT_FALSE(std::filesystem::exists(file + ".new"));
    ::close(open_here);
}

TEST(Row20, LeavesNoChildAndNoDescriptorBehind) {
    const auto descriptors = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"),
                             std::filesystem::directory_iterator());
    };
    const auto before = descriptors();
    EXPECT_EQ(words([] { return std::string("x"); }), "gave: x");
    EXPECT_EQ(words([]() -> std::string { _exit(1); }), "the work ended without an answer");
    EXPECT_EQ(descriptors(), before);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace makina
