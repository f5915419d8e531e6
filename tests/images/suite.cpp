#include "tests/images/suite.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <ostream>
#include <sstream>

#include "firstboot/bundle/error.hpp"
#include "tests/unit/scratch.hpp"

namespace makina::images {
namespace {

std::string environment(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
}

/// Holds the cards of a run.
class Shelf : public testing::Environment {
  public:
    void SetUp() override {
        scratch_ = std::make_unique<Scratch>();
        // Keys are made here, not in the home of who runs the tests.
        (void)setenv("XDG_CONFIG_HOME", (*scratch_ / "config").c_str(), 1);
    }
    void TearDown() override {
        cards_.clear();
        scratch_.reset();
    }

    const BuiltCard& card(const Subject& subject, bool bare) {
        const std::string key = subject.profile + "-" + subject.node + (bare ? "-bare" : "");
        if (const auto found = cards_.find(key); found != cards_.end()) return found->second;
        const fs::path file = *scratch_ / (key + ".img");
        std::vector<std::string> more = {"--json"};
        if (bare) more.emplace_back("--no-bundle");
        const Result built = makina(build_arguments(subject, file, more));
        if (built.status != 0) throw Error("building " + key + ": " + built.errors);
        figures::count("roles_built");
        return cards_[key] = {file, event(built.output, "image")};
    }
    [[nodiscard]] fs::path config() const { return *scratch_ / "config"; }

  private:
    std::unique_ptr<Scratch> scratch_;
    std::map<std::string, BuiltCard> cards_;
};

Shelf& shelf() {
    static auto* const shelf = new Shelf;  // GoogleTest owns it once it is added
    return *shelf;
}

[[maybe_unused]] const testing::Environment* const registered = testing::AddGlobalTestEnvironment(&shelf());

}  // namespace

void PrintTo(const Subject& subject, std::ostream* stream) {
    *stream << subject.node << " of " << subject.profile;
}

std::vector<Subject> subjects() {
    const std::vector<Subject> all = {{"control-plane", "master-1", "makina.yaml"},
                                      {"gateway", "gateway-1", "makina.yaml"},
                                      {"worker", "worker-1", "makina.yaml"},
                                      {"load-balancer", "lb-1", "makina.yaml"},
                                      {"etcd", "etcd-1", "external-etcd.yaml"}};
    return long_form() ? all : std::vector<Subject>(all.begin(), all.begin() + 2);
}

fs::path cache() {
    if (const std::string folder = environment("MAKINA_CACHE"); !folder.empty()) return folder;
    if (const std::string folder = environment("XDG_CACHE_HOME"); !folder.empty()) return fs::path(folder) / "makina";
    return fs::path(environment("HOME")) / ".cache/makina";
}

fs::path profile(const std::string& name) {
    return fs::path(MAKINA_SOURCE) / "profiles" / name;
}

Result makina(std::vector<std::string> arguments, std::map<std::string, std::string> environment) {
    arguments.insert(arguments.begin(), MAKINA_IMAGE);
    return run({std::move(arguments), std::move(environment)});
}

std::vector<std::string> build_arguments(const Subject& subject, const fs::path& output,
                                         const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"build",          "--profile",  profile(subject.profile).string(),
                                          "--role",         subject.node, "--cache",
                                          cache().string(), "--output",   output.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

std::vector<std::string> lines(const std::string& text) {
    std::vector<std::string> result;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) result.push_back(line);
    return result;
}

std::vector<Json> events(const std::string& text) {
    std::vector<Json> result;
    for (const std::string& line : lines(text)) result.push_back(Json::parse(line, nullptr, false));
    return result;
}

Json event(const std::string& text, const std::string& kind) {
    Json last;
    for (const Json& event : events(text)) {
        if (event.is_object() && event.value("event", "") == kind) last = event;
    }
    return last;
}

const BuiltCard& card(const Subject& subject) {
    return shelf().card(subject, false);
}

const BuiltCard& bare_card(const Subject& subject) {
    return shelf().card(subject, true);
}

fs::path keys_of(const Subject& subject) {
    return shelf().config() / "makina" / fs::path(subject.profile).stem();
}

}  // namespace makina::images
