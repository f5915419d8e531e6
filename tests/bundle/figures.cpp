#include "tests/bundle/figures.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

namespace makina {
namespace {

class Figures : public testing::Environment {
  public:
    void TearDown() override {
        if (!figures_.empty()) std::printf("figures: %s\n", figures_.dump().c_str());
    }
    void put(const std::string& name, double value) {
        // A whole number is printed as one.
        if (value == static_cast<double>(static_cast<long long>(value))) {
            figures_[name] = static_cast<long long>(value);
        } else {
            figures_[name] = value;
        }
    }

  private:
    nlohmann::json figures_ = nlohmann::json::object();
};

Figures* figures() {
    static auto* const environment = new Figures;  // GoogleTest owns it once it is added
    return environment;
}

[[maybe_unused]] const testing::Environment* const registered = testing::AddGlobalTestEnvironment(figures());

}  // namespace

void note_figure(const std::string& name, double value) {
    figures()->put(name, value);
}

bool long_form() {
    const char* const value = std::getenv("MAKINA_ALL");
    return value != nullptr && std::string(value) == "1";
}

}  // namespace makina
