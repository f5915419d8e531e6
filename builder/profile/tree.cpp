#include "builder/profile/tree.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "builder/profile/spelling.hpp"

namespace makina {
namespace {

constexpr std::size_t deepest = 16;
constexpr int most_values = 8192;
constexpr const char* no_aliases = "aliases are not read in profiles, write the value again";

/// Ends the parse of a file that is too deep or too large; the complaint has been made.
struct Enough {};

/// Turns yaml-cpp's columns, which count bytes, into columns of characters.
class Lines {
  public:
    explicit Lines(const std::string& text) : text_(text) {
        starts_.push_back(0);
        for (std::size_t at = 0; at < text.size(); ++at) {
            if (text[at] == '\n') starts_.push_back(at + 1);
        }
    }

    [[nodiscard]] Position position(const YAML::Mark& mark) const {
        if (mark.is_null()) return {};
        const auto line = std::min(static_cast<std::size_t>(std::max(mark.line, 0)), starts_.size() - 1);
        const std::size_t end = offset(mark);
        int column = 1;
        for (std::size_t at = starts_[line]; at < end; ++at) {
            if ((static_cast<unsigned char>(text_[at]) & 0xc0U) != 0x80) ++column;
        }
        return {static_cast<int>(line) + 1, column};
    }

    /// The text from a mark on.
    [[nodiscard]] std::string_view from(const YAML::Mark& mark) const {
        return mark.is_null() ? std::string_view{} : std::string_view(text_).substr(offset(mark));
    }

  private:
    [[nodiscard]] std::size_t offset(const YAML::Mark& mark) const {
        const auto line = std::min(static_cast<std::size_t>(std::max(mark.line, 0)), starts_.size() - 1);
        return std::min(starts_[line] + static_cast<std::size_t>(std::max(mark.column, 0)), text_.size());
    }

    const std::string& text_;
    std::vector<std::size_t> starts_;
};

/// Builds a Tree from yaml-cpp's events.
class Builder : public YAML::EventHandler {
  public:
    Builder(const Lines& lines, std::vector<Complaint>& complaints) : lines_(lines), complaints_(complaints) {}

    [[nodiscard]] Tree take() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& mark) override {
        if (++documents_ > 1) {
            complain(lines_.position(mark), "a second document begins here, make it a file of its own");
            throw Enough{};
        }
    }
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        Tree tree = begin(mark, "", anchor, TreeKind::nothing);
        // Where a value is left out, yaml-cpp's mark is already at the next thing.
        const std::string_view here = lines_.from(mark);
        if (!here.starts_with('~') && !here.starts_with('n') && !here.starts_with('N') && !open_.empty()) {
            tree.at = open_.back().key ? open_.back().key->second : open_.back().tree.at;
        }
        attach(std::move(tree));
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
        Tree tree = begin(mark, "", 0, TreeKind::refused);
        complain(tree.at, no_aliases);
        attach(std::move(tree));
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        Tree tree = begin(mark, tag, anchor, TreeKind::scalar);
        tree.text = value;
        attach(std::move(tree));
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value) override {
        open(begin(mark, tag, anchor, TreeKind::sequence));
    }
    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value) override {
        open(begin(mark, tag, anchor, TreeKind::map));
    }
    void OnSequenceEnd() override { close(); }
    void OnMapEnd() override { close(); }

  private:
    struct Open {
        Tree tree;
        std::optional<std::pair<Tree, Position>> key;  // a map's key that waits for its value
    };

    void complain(Position at, std::string text) { complaints_.push_back({at.line, at.column, std::move(text)}); }

    Tree begin(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, TreeKind kind) {
        Tree tree{kind, lines_.position(mark), {}, {}, {}};
        if (++values_ > most_values) {
            complain(tree.at, "more than 8192 values, which no profile needs; is this the right file?");
            throw Enough{};
        }
        if (anchor != 0) complain(tree.at, "anchors are not read in profiles, remove the word that begins with &");
        // yaml-cpp gives "?" to plain values and "!" to quoted ones, so a tag "!" shows only in the text itself.
        const bool tagged = (!tag.empty() && tag != "?" && tag != "!") || lines_.from(mark).starts_with('!');
        if (tagged) complain(tree.at, "tags are not read in profiles, remove the word that begins with !");
        return tree;
    }

    void open(Tree tree) {
        if (open_.size() == deepest) {
            complain(tree.at, "nested deeper than 16 levels, which no profile needs");
            throw Enough{};
        }
        open_.push_back({std::move(tree), std::nullopt});
    }

    void close() {
        Tree tree = std::move(open_.back().tree);
        open_.pop_back();
        attach(std::move(tree));
    }

    void attach(Tree tree) {
        if (open_.empty()) {
            root_ = std::move(tree);
        } else if (Open& parent = open_.back(); parent.tree.kind == TreeKind::sequence) {
            parent.tree.items.push_back(std::move(tree));
        } else if (!parent.key) {
            const Position at = tree.at;
            parent.key.emplace(std::move(tree), at);
        } else {
            add_entry(parent, std::move(tree));
        }
    }

    void add_entry(Open& parent, Tree value) {
        const auto [key, at] = *std::exchange(parent.key, std::nullopt);
        if (key.kind == TreeKind::refused) return;
        if (key.kind != TreeKind::scalar) return complain(at, "a key must be a word");
        if (key.text == "<<") return complain(at, "merge keys are not read in profiles, write the values again");
        auto& entries = parent.tree.entries;
        const auto twin = std::ranges::find(entries, key.text, &TreeEntry::key);
        if (twin != entries.end()) {
            return complain(at, "key " + in_quotes(key.text) + " is already given in line " +
                                    std::to_string(twin->at.line) + ", keep one of them");
        }
        entries.push_back({key.text, at, std::move(value)});
    }

    const Lines& lines_;
    std::vector<Complaint>& complaints_;
    std::vector<Open> open_;
    Tree root_;
    int documents_ = 0;
    int values_ = 0;
};

}  // namespace

Tree parse_tree(const std::string& text, std::vector<Complaint>& complaints) {
    const Lines lines(text);
    Builder builder(lines, complaints);
    // Half a file is no profile: complaints about what is missing from it would mislead.
    Tree refused;
    refused.kind = TreeKind::refused;
    try {
        std::istringstream stream(text);
        YAML::Parser parser(stream);
        while (parser.HandleNextDocument(builder)) {
        }
    } catch (const Enough&) {
        return refused;
    } catch (const YAML::Exception& error) {
        const Position at = lines.position(error.mark);
        if (error.msg == YAML::ErrorMsg::UNKNOWN_ANCHOR) {
            complaints.push_back({at.line, at.column, no_aliases});
            return refused;
        }
        complaints.push_back({at.line, at.column,
                              "not valid YAML: " + error.msg +
                                  "; look here and above for indentation, a missing "
                                  "quote or bracket"});
        return refused;
    }
    return builder.take();
}

}  // namespace makina
