#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "firstboot/run.hpp"
#include "tests/daemon/etcd_model.hpp"
#include "tests/daemon/scene.hpp"

namespace makina::test {

/// A machine that comes to its end undisturbed, and has to whatever happens to it at any of its steps.
class AtEveryStep : public ::testing::Test {
  protected:
    FakeMachine machine;
    std::int64_t patience = 1200;  ///< seconds until a run is ended that has not joined

    /// Everything as before the first power-on.
    virtual void begin_anew() = 0;
    virtual std::unique_ptr<FakeHost> powered_on() = 0;
    virtual void expect_done(const std::string& where) = 0;
    /// What goes on outside while the power is gone.
    virtual void while_off() {}

    /// Runs for `patience`, or until it has joined.
    Ending run_for(FakeHost& host);
    /// The power goes before, in and after each step, from the step `from` on (empty: from the first).
    void cut_everywhere(const std::string& figure, const std::string& from = "");
    /// Each step fails once, before and after it was done.
    void fail_everywhere(const std::string& figure);
    /// The program hangs once before and after each of its steps, until it is given up after so many seconds.
    void hang_everywhere(const std::string& figure, const std::string& program, std::int64_t seconds);

  private:
    std::vector<std::string> undisturbed_steps();
    /// The accident happens once, the power stays; all ends well.
    void expect_over(const Accident& accident, const std::string& where, const std::string& figure);
};

/// A card for the third of three nodes of a role, whose etcd the dead one was a member of.
class ThirdCard : public AtEveryStep {
  protected:
    static constexpr const char* epoch_key = "/makina/nodes/etcd-3/epoch";

    explicit ThirdCard(std::string its_role) : role(std::move(its_role)) {}

    std::string role;
    EtcdModel etcd{{"etcd-1", "etcd-2", "etcd-3"}};

    void begin_anew() override;
    void expect_done(const std::string& where) override;
    /// The bundle of a card that was written after the cluster had been formed.
    [[nodiscard]] Bundle new_card(std::uint64_t epoch = 2) const;
    void write_card(const Bundle& bundle);
    /// Waits at joining, says these words, and nothing of the cluster's list is changed.
    void expect_waiting(const std::string& words);
};

}  // namespace makina::test
