#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "builder/process.hpp"

namespace makina::flashing {

/// A file as a block device; losetup takes root: without it there is no name.
class Loop {
  public:
    explicit Loop(const std::filesystem::path& file) {
        const Result made = run({{"losetup", "--find", "--show", file.string()}});
        if (made.status == 0) name_ = made.output.substr(0, made.output.find('\n'));
    }
    Loop(const Loop&) = delete;
    Loop& operator=(const Loop&) = delete;
    ~Loop() { release(); }
    void release() {
        if (!name_.empty()) (void)run({{"losetup", "--detach", name_}});
        name_.clear();
    }
    /// Another card in the same reader.
    void change(const std::filesystem::path& file) {
        const std::string name = name_;
        run_checked({{"losetup", "--detach", name}});
        // It is free when whoever has it open for a moment, to see what is on it, has let it go.
        Result made{1, "", ""};
        for (int tries = 0; made.status != 0 && tries < 50; ++tries) {
            made = run({{"losetup", name, file.string()}});
            if (made.status != 0) std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        ASSERT_EQ(made.status, 0) << made.errors;
    }
    [[nodiscard]] const std::string& name() const { return name_; }

  private:
    std::string name_;
};

}  // namespace makina::flashing
