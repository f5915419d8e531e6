#include <gtest/gtest.h>
#include <signal.h>

#include <ctime>

#include "builder/pki/pki.hpp"
#include "builder/process.hpp"
#include "tests/unit/figures.hpp"
#include "tests/unit/keyrings.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

/// System calls that change what is on the disk. strace counts each by itself.
const std::vector<std::string> changing = {"mkdir", "rename", "unlink", "rmdir", "fchmod", "fsync", "write", "openat"};

/// The command-line program and a folder of keys of its own.
class Cut : public testing::Test {
  protected:
    void SetUp() override {
        if (!have_program("strace")) GTEST_SKIP() << "strace is not installed: apt install strace";
        if (run({.argv = {"strace", "-o", "/dev/null", "true"}}).status != 0)
            GTEST_SKIP() << "strace may trace nothing";
        scratch_.write("empty/x", "");
    }
    [[nodiscard]] std::filesystem::path folder() const { return scratch_ / "config/makina/makina"; }
    std::vector<std::string> command(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), MAKINA_IMAGE);
        arguments.insert(arguments.end(), {"--profile", std::string(MAKINA_SOURCE) + "/profiles/makina.yaml", "--keys",
                                           folder().string()});
        return arguments;
    }
    void done(const std::vector<std::string>& arguments) { run_checked({.argv = command(arguments)}); }
    /// Runs the command, killed as it enters the count-th call of that name. True if it was.
    bool killed(const std::vector<std::string>& arguments, const std::string& call, int count) {
        std::vector<std::string> argv = {"strace", "-f",
                                         "-o",     "/dev/null",
                                         "-e",     "trace=" + call,
                                         "-e",     "inject=" + call + ":signal=SIGKILL:when=" + std::to_string(count)};
        for (const std::string& word : command(arguments)) argv.push_back(word);
        return run({.argv = argv}).status == 128 + SIGKILL;
    }
    /// Kills the command at every changing call; before each time `prepare` is called, after it `check`.
    template <typename Prepare, typename Check>
    void cut_everywhere(const std::vector<std::string>& arguments, Prepare&& prepare, Check&& check,
                        int short_step = 1) {
        prepare();
        done(arguments);
        int kills = 0;
        for (const std::string& call : changing) {
            // Opens are mostly the loader's own; the short form takes every fifth of them.
            const int step = figures::long_form() ? 1 : call == "openat" ? 5 : short_step;
            for (int count = 1; count < 1000; count += step) {
                prepare();
                if (!killed(arguments, call, count)) break;
                ++kills;
                const bool failed_before = HasFailure();
                SCOPED_TRACE(call + " number " + std::to_string(count));
                check();
                ++kills_;
                failed_ += HasFailure() && !failed_before ? 1 : 0;
                ASSERT_FALSE(HasFailure());
            }
        }
        EXPECT_GT(kills, 5) << "the command was hardly ever killed";
    }
    void clear() { std::filesystem::remove_all(scratch_ / "config"); }
    /// A folder that was made before, copied with its modes.
    void put(const std::filesystem::path& from) {
        clear();
        std::filesystem::create_directories(folder().parent_path());
        std::filesystem::copy(from, folder(), std::filesystem::copy_options::recursive);
    }
    std::filesystem::path keep(const std::string& name) {
        std::filesystem::copy(folder(), scratch_ / name, std::filesystem::copy_options::recursive);
        return scratch_ / name;
    }
    [[nodiscard]] bool is_clean() const {
        for (const auto& entry : std::filesystem::directory_iterator(folder())) {
            if (entry.path().filename().string().front() == '.') return false;
        }
        return true;
    }

    static void TearDownTestSuite() {
        if (kills_ == 0) return;  // skipped
        figures::count("keys_kill_points", kills_);
        figures::count("keys_kill_points_failed", failed_);
    }

    Scratch scratch_;
    static inline int kills_ = 0;
    static inline int failed_ = 0;
};

TEST_F(Cut, LeavesNoKeysOrAllOfThem) {
    int none = 0;
    int all = 0;
    cut_everywhere(
        {"keys"}, [&] { clear(); },
        [&] {
            ++(keys_folder(folder()) == KeysFolder::missing ? none : all);
            done({"keys"});
            EXPECT_EQ(Keys(folder(), "makina", "").facts().size(), 8U);
            EXPECT_FALSE(std::filesystem::exists(folder().parent_path() / ".makina.making"));
        },
        // Twenty files are written alike.
        5);
    EXPECT_GT(none, 0);
    EXPECT_GT(all, 0);
}

TEST_F(Cut, LeavesOneSigningAuthorityOrTwo) {
    done({"keys"});
    const auto before = keep("before");
    int begun = 0;
    cut_everywhere(
        {"keys", "rotate"}, [&] { put(before); },
        [&] {
            {
                const Keys keys(folder(), "makina", "");
                const std::size_t facts = keys.facts().size();
                EXPECT_TRUE(facts == 8 || facts == 10) << facts;
                EXPECT_TRUE(is_clean());
                if (facts == 10) {
                    ++begun;
                    return;
                }
            }
            done({"keys", "rotate"});
        });
    EXPECT_GT(begun, 0);
}

TEST_F(Cut, NeverForgetsThatASignerIsCompromised) {
    done({"keys"});
    done({"keys", "rotate"});
    const auto before = keep("before");
    const std::string old = Keys(folder(), "makina", "").facts().at(3).fingerprint;
    int ended = 0;
    cut_everywhere(
        {"keys", "rotate", "--finish", "--compromised"}, [&] { put(before); },
        [&] {
            {
                const Keys keys(folder(), "makina", "");
                EXPECT_TRUE(is_clean());
                const Trust trust = trust_of_keys(folder());
                // Named before it goes, and gone when it is named.
                EXPECT_EQ(trust.revoked,
                          trust.anchors.size() == 2 ? std::vector<std::string>{} : std::vector<std::string>{old});
                if (trust.anchors.size() == 1) {
                    ++ended;
                    return;
                }
            }
            done({"keys", "rotate", "--finish", "--compromised"});
        });
    EXPECT_GT(ended, 0);
}

TEST_F(Cut, GivesNoEpochTwiceToBundlesThatLeft) {
    done({"keys"});
    const Recipient to = keyrings::recipient("worker-1", "worker");
    // The program asks the clock, so that the card must be of today, too.
    (void)Keys(folder(), "makina", "").issue(to, true, std::time(nullptr), keyrings::year, "card");
    const auto before = keep("before");
    const auto file = scratch_ / "makina.bundle";
    cut_everywhere(
        {"bundle", "create", "--role", "worker-1", "--output", file.string()},
        [&] {
            put(before);
            std::filesystem::remove(file);
        },
        [&] {
            const Keys keys(folder(), "makina", "");
            EXPECT_TRUE(is_clean());
            const std::size_t entries = keys.ledger().size();
            EXPECT_TRUE(entries == 1 || entries == 2);
            // A file is there only if its epoch is in the ledger.
            EXPECT_TRUE(entries == 2 || !std::filesystem::exists(file));
        });
}

}  // namespace
}  // namespace makina
