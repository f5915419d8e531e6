#include <gtest/gtest.h>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"

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

}  // namespace
}  // namespace makina
