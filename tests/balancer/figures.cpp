#include "tests/balancer/figures.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

namespace makina::balancer {
namespace {

nlohmann::json shown(double value) {
    if (value == std::floor(value)) return static_cast<std::int64_t>(value);
    return std::round(value * 1000) / 1000;
}

class Figures final : public testing::Environment {
  public:
    void TearDown() override {
        for (auto& [name, times] : times_) {
            std::ranges::sort(times);
            values_[name + "_p50_s"] = times[times.size() / 2];
            values_[name + "_max_s"] = times.back();
        }
        nlohmann::json object = nlohmann::json::object();
        for (const auto& [name, value] : values_) object[name] = shown(value);
        if (!values_.empty()) std::printf("figures: %s\n", object.dump().c_str());
    }
    std::map<std::string, double> values_;
    std::map<std::string, std::vector<double>> times_;
};

Figures* figures() {
    static auto* const figures = new Figures;
    return figures;
}

[[maybe_unused]] const testing::Environment* const registered = testing::AddGlobalTestEnvironment(figures());

}  // namespace

void note_figure(const std::string& name, double value) {
    figures()->values_[name] += value;
}

void note_time(const std::string& name, double seconds) {
    figures()->times_[name].push_back(seconds);
}

}  // namespace makina::balancer
