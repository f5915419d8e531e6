#include "tests/lab/lab.hpp"

#include <gtest/gtest.h>

namespace makina::lab {
namespace {

TEST(Lab, MachinesReachEachOtherUntilTheCableIsCutOrThePlugIsPulled) {
    if (const std::string reason = why_not(); !reason.empty()) GTEST_SKIP() << reason;
    const Switch lan;
    Machine one("one", workshop() / "lab-one");
    Machine two("two", workshop() / "lab-two");
    two.install("/etc/hello", "hello\n");
    for (Machine* const machine : {&one, &two}) machine->power_on();
    for (Machine* const machine : {&one, &two}) machine->plug(lan, "eth0");
    one.give("eth0", "10.9.0.1/24");
    two.give("eth0", "10.9.0.2/24");
    EXPECT_EQ(two.run_checked({"cat", "/etc/hello"}), "hello\n");
    EXPECT_EQ(two.run_checked({"hostname"}), "two\n");
    EXPECT_NE(one.run({"cat", "/etc/hello"}).status, 0);

    two.start(two.inside({"python3", "-m", "http.server", "8000", "--directory", "/etc"}), "server");
    const auto reaches = [&] {
        return one.run({"curl", "--silent", "--max-time", "1", "http://10.9.0.2:8000/hello"}).output == "hello\n";
    };
    EXPECT_TRUE(becomes_true(10, reaches));
    lan.cut("two");
    EXPECT_FALSE(reaches());
    lan.heal("two");
    EXPECT_TRUE(becomes_true(5, reaches));
    two.freeze(true);
    EXPECT_FALSE(reaches());
    two.freeze(false);
    EXPECT_TRUE(becomes_true(5, reaches));
    two.power_off();
    EXPECT_FALSE(reaches());
    two.power_on();
    EXPECT_EQ(two.run_checked({"cat", "/etc/hello"}), "hello\n");
}

}  // namespace
}  // namespace makina::lab
