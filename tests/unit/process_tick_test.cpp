#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

TEST(Process, EndsAChildWhoseTickThrows) {
    Command command{{"sleep", "1000"}};
    command.on_tick = [] { throw Error("enough"); };
    try {
        (void)run(command);
        FAIL() << "ran to its end";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "enough");
    }
}

TEST(Process, TicksWhileAChildSaysNothing) {
    int ticks = 0;
    Command command{{"sleep", "2.5"}};
    command.on_tick = [&] { ++ticks; };
    EXPECT_EQ(run(command).status, 0);
    EXPECT_GE(ticks, 1);
}

TEST(Process, PassesOnOnlyTheDescriptorsThatAreNamed) {
    const Descriptor given(memfd_create("given", MFD_CLOEXEC));
    const Descriptor kept(memfd_create("kept", MFD_CLOEXEC));
    ASSERT_EQ(write(given.get(), "word", 4), 4);
    const std::string path = "/proc/self/fd/" + std::to_string(given.get());
    Command command{{"cat", path}};
    command.descriptors = {given.get()};
    EXPECT_EQ(run_checked(command), "word");
    command.argv = {"cat", "/proc/self/fd/" + std::to_string(kept.get())};
    EXPECT_NE(run(command).status, 0);
    EXPECT_EQ(fcntl(given.get(), F_GETFD), FD_CLOEXEC) << "it is passed on once";
}

TEST(Process, HoldsNoSignalBackFromAChild) {
    sigset_t held{};
    sigset_t before{};
    sigemptyset(&held);
    sigaddset(&held, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &held, &before);
    const int status = run({{"sh", "-c", "kill -TERM $$; exit 3"}}).status;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    EXPECT_EQ(status, 128 + SIGTERM);
}

}  // namespace
}  // namespace makina
