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
        for (const auto& [name, number] : numbers) object[name] = rounded(number);
        for (auto& [name, durations] : times) {
            std::vector<double>& seconds = durations.seconds;
            std::ranges::sort(seconds);
            object[name + "_" + durations.middle + "_s"] = rounded(seconds[seconds.size() / 2]);
            object[name + "_max_s"] = rounded(seconds.back());
        }
        if (!object.empty()) std::printf("figures: %s\n", object.dump().c_str());
    }

    std::mutex mutex;
    std::map<std::string, std::uint64_t> counts;
    std::map<std::string, double> numbers;
    struct Durations {
        std::string middle;  ///< how the middle one is named
        std::vector<double> seconds;
    };
    std::map<std::string, Durations> times;

  private:
    /// To the third place; a whole number as one.
    static nlohmann::json rounded(double number) {
        const double thousandths = std::round(number * 1000);
        if (std::fmod(thousandths, 1000) == 0) return static_cast<std::int64_t>(thousandths / 1000);
        return thousandths / 1000;
    }
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

/// A number that is not counted; the last one stands. From any thread.
inline void put(const std::string& figure, double number) {
    const std::scoped_lock lock(printer->mutex);
    printer->numbers[figure] = number;
}

/// The largest of the numbers given. From any thread.
inline void largest(const std::string& figure, double number) {
    const std::scoped_lock lock(printer->mutex);
    const auto [found, fresh] = printer->numbers.emplace(figure, number);
    if (!fresh) found->second = std::max(found->second, number);
}

/// One of several durations; the figures have "<figure>_<middle>_s" and "<figure>_max_s". From any thread.
inline void measure(const std::string& figure, double seconds, const std::string& middle = "median") {
    const std::scoped_lock lock(printer->mutex);
    Printer::Durations& durations = printer->times[figure];
    durations.middle = middle;
    durations.seconds.push_back(seconds);
}

/// True for the long form (MAKINA_ALL=1).
inline bool long_form() {
    const char* const all = std::getenv("MAKINA_ALL");
    return all != nullptr && *all != '\0';
}

}  // namespace makina::figures
