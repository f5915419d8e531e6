#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "builder/process.hpp"
#include "tests/unit/figures.hpp"

// What the tests of this suite share: the program, the cards that it built, the figures at the end.
namespace makina::images {

using figures::count;
using figures::long_form;

using Json = nlohmann::json;
namespace fs = std::filesystem;

/// A node of one of the project's profiles.
struct Subject {
    std::string role;
    std::string node;
    std::string profile;  ///< file name below profiles/
};

/// GoogleTest names a failed test's parameter with it.
void PrintTo(const Subject& subject, std::ostream* stream);
/// Those whose cards are looked at: every role with MAKINA_ALL=1, else a control plane and a gateway.
[[nodiscard]] std::vector<Subject> subjects();
/// MAKINA_CACHE, or where makina-image keeps bases unless told.
[[nodiscard]] fs::path cache();
[[nodiscard]] fs::path profile(const std::string& name);

/// Runs makina-image with these arguments.
[[nodiscard]] Result makina(std::vector<std::string> arguments, std::map<std::string, std::string> environment = {});
/// `build` for a subject, with the suite's cache, into `output`, and with further arguments.
[[nodiscard]] std::vector<std::string> build_arguments(const Subject& subject, const fs::path& output,
                                                       const std::vector<std::string>& more = {});
/// Each line of `text` as JSON; a line that is none becomes a discarded value.
[[nodiscard]] std::vector<Json> events(const std::string& text);
/// The last event of a kind; null if there is none.
[[nodiscard]] Json event(const std::string& text, const std::string& kind);
[[nodiscard]] std::vector<std::string> lines(const std::string& text);

/// A card that the program wrote.
struct BuiltCard {
    fs::path path;
    Json event;  ///< what `build --json` said of it
};
/// The subject's card, built at most once a run; later tests only read it. Throws Error if it cannot be built.
[[nodiscard]] const BuiltCard& card(const Subject& subject);
/// The same without a bundle (`--no-bundle`): equal inputs give equal bytes, which no sealed bundle does.
[[nodiscard]] const BuiltCard& bare_card(const Subject& subject);
/// The keys of the subject's cluster, which the suite made in a folder of its own.
[[nodiscard]] fs::path keys_of(const Subject& subject);

}  // namespace makina::images
