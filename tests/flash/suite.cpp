#include "tests/flash/suite.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>

namespace makina::flashing {
namespace {

class Figures : public testing::Environment {
  public:
    void TearDown() override {
        std::string line;
        for (const auto& [name, number] : figures) {
            line += (line.empty() ? "" : ",") + ('"' + name + "\":") + std::to_string(number);
        }
        if (!line.empty()) std::printf("figures: {%s}\n", line.c_str());
    }
    std::map<std::string, std::uint64_t> figures;
};

Figures* const figures = [] {
    auto* const environment = new Figures;
    testing::AddGlobalTestEnvironment(environment);
    return environment;
}();

}  // namespace

bool long_form() {
    const char* const all = std::getenv("MAKINA_ALL");
    return all != nullptr && std::string(all) == "1";
}

void count(const std::string& figure, std::uint64_t number) {
    figures->figures[figure] += number;
}

}  // namespace makina::flashing
