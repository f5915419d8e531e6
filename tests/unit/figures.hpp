#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace makina::figures {

/// What a suite has counted and measured; printed in one line at its end.
class Printer final : public testing::Environment {
  public:
    void TearDown() override {
        nlohmann::json object = nlohmann::json::object();
        for (const auto& [name, number] : counts) object[name] = number;
        for (auto& [name, seconds] : times) {
            std::ranges::sort(seconds);
            object[name + "_median_s"] = rounded(seconds[seconds.size() / 2]);
            object[name + "_max_s"] = rounded(seconds.back());
        }
        if (!object.empty()) std::printf("figures: %s\n", object.dump().c_str());
    }

    std::mutex mutex;
    std::map<std::string, std::uint64_t> counts;
    std::map<std::string, std::vector<double>> times;

  private:
    static double rounded(double seconds) { return std::round(seconds * 100) / 100; }
};

/// GoogleTest owns it once it is added.
inline Printer* const printer = [] {
    auto* const made = new Printer;
    testing::AddGlobalTestEnvironment(made);
    return made;
}();

/// Adds to a figure; from any thread.
inline void count(const std::string& figure, std::uint64_t number = 1) {
    const std::scoped_lock lock(printer->mutex);
    printer->counts[figure] += number;
}

/// One of several durations; the figures have "<figure>_median_s" and "<figure>_max_s". From any thread.
inline void measure(const std::string& figure, double seconds) {
    const std::scoped_lock lock(printer->mutex);
    printer->times[figure].push_back(seconds);
}

/// True for the long form (MAKINA_ALL=1).
inline bool long_form() {
    const char* const all = std::getenv("MAKINA_ALL");
    return all != nullptr && *all != '\0';
}

}  // namespace makina::figures
