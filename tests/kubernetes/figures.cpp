#include "tests/kubernetes/figures.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <vector>

namespace makina::kubernetes {
namespace {

std::mutex mutex;
std::map<std::string, std::uint64_t> counts;
std::map<std::string, std::vector<double>> times;

double rounded(double seconds) {
    return std::round(seconds * 100) / 100;
}

class Figures : public ::testing::Environment {
  public:
    void TearDown() override {
        nlohmann::json object = nlohmann::json::object();
        for (const auto& [name, number] : counts) object[name] = number;
        for (auto& [name, values] : times) {
            std::sort(values.begin(), values.end());
            object[name + "_median_s"] = rounded(values[values.size() / 2]);
            object[name + "_max_s"] = rounded(values.back());
        }
        if (!object.empty()) std::printf("figures: %s\n", object.dump().c_str());
    }
};

[[maybe_unused]] const auto* const figures = ::testing::AddGlobalTestEnvironment(new Figures);

}  // namespace

void count(const std::string& figure, std::uint64_t more) {
    const std::scoped_lock lock(mutex);
    counts[figure] += more;
}

void measure(const std::string& figure, double seconds) {
    const std::scoped_lock lock(mutex);
    times[figure].push_back(seconds);
}

}  // namespace makina::kubernetes
