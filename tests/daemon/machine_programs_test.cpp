#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <csignal>
#include <thread>

#include "firstboot/machine/programs.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

/// Programs are small scripts in a folder that stands for the node's.
class MachinePrograms : public ::testing::Test {
  protected:
    Scratch scratch_;
    Supervisor supervisor_;
    ProgramPlace place_ = usual_place();

    void SetUp() override {
        place_.folders = {scratch_.path()};
        place_.by_name_only = true;
    }
    void script(const std::string& name, const std::string& body) {
        std::ofstream(scratch_.path() / name) << "#!/bin/sh\n" << body << "\n";
        std::filesystem::permissions(scratch_.path() / name, std::filesystem::perms::owner_all);
    }
    Answer run(const std::vector<std::string>& argv, unsigned seconds = 60) {
        return run_program(argv, seconds, place_, supervisor_);
    }
    /// The process whose number a script left in a file; 0 until it has.
    [[nodiscard]] pid_t process_in(const std::string& file) const {
        pid_t number = 0;
        std::ifstream(scratch_.path() / file) >> number;
        return number;
    }
    static bool lives(pid_t process) {
        std::string text;
        std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
        return std::getline(stat, text) && text.find(") Z ") == std::string::npos;
    }
    static bool dies(pid_t process) {
        for (int tries = 0; tries < 500 && lives(process); ++tries) usleep(20'000);
        return !lives(process);
    }
};

TEST_F(MachinePrograms, GetTheirArgumentsAsTheyAre) {
    script("show", "printf '%s|' \"$@\"; echo problem >&2; exit 7");
    const Answer answer = run({"show", "a b", "$HOME", "", "*;"});
    EXPECT_EQ(answer.output, "a b|$HOME||*;|");
    EXPECT_EQ(answer.errors, "problem\n");
    EXPECT_EQ(answer.status, 7);
}

TEST_F(MachinePrograms, AreLookedUpByNameBelowAnotherRoot) {
    script("install-packages", "echo stand-in");
    EXPECT_EQ(run({"/usr/lib/makina/install-packages"}).output, "stand-in\n");
    const Answer none = run({"/bin/sh", "-c", "echo escaped"});
    EXPECT_EQ(none.status, 127);
    EXPECT_EQ(none.errors, "no program /bin/sh on this node");
}

TEST_F(MachinePrograms, TellASignalAsAShellDoes) {
    script("hurt", "kill -SEGV $$");
    EXPECT_EQ(run({"hurt"}).status, 128 + SIGSEGV);
}

TEST_F(MachinePrograms, HaveNoInputAndNotTheServiceManagersSocket) {
    setenv("NOTIFY_SOCKET", "/nowhere", 1);
    setenv("MAKINA_SEEN", "yes", 1);
    script("show", "cat; env");
    place_.environment["MAKINA_ROOT"] = "/somewhere";
    const std::string output = run({"show"}).output;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("MAKINA_SEEN");
    EXPECT_THAT(output, HasSubstr("MAKINA_ROOT=/somewhere\n"));
    EXPECT_THAT(output, HasSubstr("MAKINA_SEEN=yes\n"));
    EXPECT_THAT(output, HasSubstr("PATH=/usr/local/sbin:"));
    EXPECT_THAT(output, Not(HasSubstr("NOTIFY_SOCKET")));
}

TEST_F(MachinePrograms, OfMuchOutputTheFirstAndOfManyErrorsTheLastIsKept) {
    script("flood",
           "echo first; echo first >&2; head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; "
           "echo last; echo last >&2");
    const Answer answer = run({"flood"});
    EXPECT_EQ(answer.output.size(), 65536U);
    EXPECT_EQ(answer.errors.size(), 65536U);
    EXPECT_THAT(answer.output, StartsWith("first\n"));
    EXPECT_THAT(answer.errors, EndsWith("last\n"));
}

TEST_F(MachinePrograms, EndWithAllTheirChildrenWhenTheTimeIsOver) {
    script("slow", "sleep 600 & echo $! > " + (scratch_.path() / "child").string() + "; wait");
    const Answer answer = run({"slow"}, 1);
    EXPECT_EQ(answer.status, 128 + SIGTERM);
    ASSERT_GT(process_in("child"), 0);
    EXPECT_TRUE(dies(process_in("child")));
}

TEST_F(MachinePrograms, ThatDoNotListenAreKilled) {
    script("deaf", "trap '' TERM; while :; do sleep 1; done");
    EXPECT_EQ(run({"deaf"}, 1).status, 128 + SIGKILL);
}

TEST_F(MachinePrograms, LeaveNobodyBehind) {
    script("leave", "sleep 600 & echo $! > " + (scratch_.path() / "child").string());
    EXPECT_EQ(run({"leave"}).status, 0);
    ASSERT_GT(process_in("child"), 0);
    EXPECT_TRUE(dies(process_in("child")));
}

TEST_F(MachinePrograms, EndWhenTheDaemonIsAskedToEnd) {
    script("slow", "sleep 600");
    ASSERT_EQ(kill(getpid(), SIGTERM), 0);
    EXPECT_EQ(run({"slow"}).status, 128 + SIGTERM);
    EXPECT_TRUE(supervisor_.stopped());
}

TEST_F(MachinePrograms, DieWithTheDaemon) {
    const auto file = scratch_.path() / "number";
    script("slow", "echo $$ > " + file.string() + "; exec sleep 600");
    const pid_t daemon = fork();
    ASSERT_GE(daemon, 0);
    if (daemon == 0) {
        (void)run({"slow"});
        _exit(0);
    }
    for (int tries = 0; tries < 500 && process_in("number") == 0; ++tries) usleep(20'000);
    const pid_t program = process_in("number");
    kill(daemon, SIGKILL);
    waitpid(daemon, nullptr, 0);
    ASSERT_GT(program, 0);
    EXPECT_TRUE(dies(program));
}

/// A service manager that hears what a daemon tells it.
class Manager {
  public:
    explicit Manager(const std::filesystem::path& socket) : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        socket.string().copy(address.sun_path, sizeof address.sun_path - 1);
        bound_ = bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
        setenv("NOTIFY_SOCKET", socket.c_str(), 1);
    }
    Manager(const Manager&) = delete;
    Manager& operator=(const Manager&) = delete;
    ~Manager() { unsetenv("NOTIFY_SOCKET"); }
    /// The next message, or nothing.
    [[nodiscard]] std::string heard() const {
        std::array<char, 512> text{};
        const ssize_t size = recv(socket_.get(), text.data(), text.size(), MSG_DONTWAIT);
        return {text.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    }
    [[nodiscard]] bool bound() const { return bound_; }

  private:
    Descriptor socket_;
    bool bound_ = false;
};

TEST(MachineSupervisor, TellsTheWatchdogButNotAllTheTime) {
    const Scratch scratch;
    const Manager manager(scratch.path() / "notify");
    ASSERT_TRUE(manager.bound());
    {
        Supervisor supervisor;
        EXPECT_TRUE(supervisor.wait(1));
        EXPECT_TRUE(supervisor.wait(1));
        EXPECT_EQ(manager.heard(), "WATCHDOG=1");
        EXPECT_EQ(manager.heard(), "");
    }
    EXPECT_EQ(manager.heard(), "STOPPING=1");
}

TEST(MachineSupervisor, ASignalEndsAWaitThatHasBegunAndAllThatFollow) {
    Supervisor supervisor;
    const pid_t self = getpid();
    std::thread other([&] {
        usleep(50'000);
        kill(self, SIGINT);
    });
    // Ten minutes: the test's own time limit would end it.
    EXPECT_FALSE(supervisor.wait(600'000));
    other.join();
    EXPECT_FALSE(supervisor.wait(600'000));
    EXPECT_TRUE(supervisor.stopped());
}

TEST(Reload, KnowsNoServiceThatDoesNotRun) {
    EXPECT_FALSE(hang_up("makina-no-such.service"));
}

}  // namespace
}  // namespace makina
