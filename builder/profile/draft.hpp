#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "builder/profile/profile.hpp"
#include "builder/profile/spelling.hpp"
#include "builder/profile/tree.hpp"

namespace makina {

/// A profile while it is being read: its values, where each was written, and what is wrong. A value is named by its
/// path, "network.subnet" or "nodes.master-1.address".
class Draft {
  public:
    Profile profile;
    std::vector<Complaint> complaints;

    /// Remembers where `path` was written.
    void place(const std::string& path, Position at) { places_.insert_or_assign(path, at); }
    /// Where `path` was written; for what was left out, where the nearest thing around it begins.
    [[nodiscard]] Position where(const std::string& path) const;
    [[nodiscard]] bool given(const std::string& path) const { return places_.contains(path); }

    /// Complains and remembers that the value is not to be relied on.
    void complain(const std::string& path, Position at, const std::string& text);
    void complain(const std::string& path, const std::string& text) { complain(path, where(path), text); }

    /// Remembers that the value is not to be relied on, without a complaint of its own.
    void doubt(const std::string& path) { unsound_.insert(path); }

    /// True if neither `path` nor anything around it was complained about: checks between values look only at
    /// sound ones, so that one mistake makes one complaint.
    [[nodiscard]] bool sound(const std::string& path) const;

  private:
    std::map<std::string, Position> places_;
    std::set<std::string> unsound_;
};

/// How a text becomes a value, and what is expected, for people: "a port from 1 to 65535".
template <typename T>
struct Rule {
    std::string wanted;
    std::function<std::optional<T>(const std::string&)> parse;
};

/// A word and what it stands for.
template <typename T>
using Choices = std::vector<std::pair<std::string, T>>;

/// The keys of one map, each taken once; `finish` complains about those that nobody took. Every key taken must be
/// in profile_keys().
class Fields {
  public:
    /// `path` names this map, `pattern` names it in profile_keys(): "nodes.master-1" and "nodes.<node>".
    Fields(Draft& draft, const Tree& tree, std::string path, std::string pattern);
    Fields(Draft& draft, const Tree& tree, const std::string& path) : Fields(draft, tree, path, path) {}

    /// The value of a key, nullptr if it is absent or was refused already.
    const Tree* take(const std::string& key);
    /// The map below a key; empty if absent.
    [[nodiscard]] Fields section(const std::string& key);
    /// The entries below a key whose names the user chooses (nodes, labels); empty if absent.
    [[nodiscard]] const std::vector<TreeEntry>& entries(const std::string& key);
    /// The items below a key; nothing and no complaint if it is absent.
    [[nodiscard]] const std::vector<Tree>& items(const std::string& key);

    /// Complains if the key is absent: "network needs subnet, <example>".
    void require(const std::string& key, const std::string& example);

    /// Sets `target` from the key's text if it is there and fits the rule.
    template <typename T, typename Target>
    void read(const std::string& key, Target& target, const Rule<T>& rule) {
        const Tree* tree = take(key);
        if (tree == nullptr) return;
        if (auto value = convert(path_of(key), *tree, rule)) target = static_cast<Target>(std::move(*value));
    }

    /// Replaces `target` by the list below the key if it is there; repeated items are complained about.
    template <typename T>
    void read_list(const std::string& key, std::vector<T>& target, const Rule<T>& rule) {
        if (!has(key)) return void(take(key));
        target.clear();
        for (const Tree& item : items(key)) {
            auto value = convert(path_of(key), item, rule);
            if (!value) continue;
            if (std::find(target.begin(), target.end(), *value) != target.end()) {
                draft_.complain(path_of(key), item.at, path_of(key) + ": " + in_quotes(item.text) + " is listed twice");
            } else {
                target.push_back(std::move(*value));
            }
        }
    }

    /// The value of one text by a rule, or a complaint.
    template <typename T>
    std::optional<T> convert(const std::string& path, const Tree& tree, const Rule<T>& rule) {
        const std::string* text = scalar(path, tree, rule.wanted);
        if (text == nullptr) return std::nullopt;
        auto value = rule.parse(*text);
        if (!value) draft_.complain(path, tree.at, path + ": " + in_quotes(*text) + " is not " + rule.wanted);
        return value;
    }

    /// Sets `target` to what the key's word stands for.
    template <typename T>
    void read(const std::string& key, T& target, const Choices<T>& choices) {
        const Tree* tree = take(key);
        if (tree == nullptr) return;
        if (const auto value = choose(path_of(key), *tree, choices)) target = *value;
    }

    /// What a word stands for, or a complaint with the nearest word.
    template <typename T>
    std::optional<T> choose(const std::string& path, const Tree& tree, const Choices<T>& choices) {
        std::vector<std::string> words;
        for (const auto& choice : choices) words.push_back(choice.first);
        const std::string* text = scalar(path, tree, enumerate(words));
        if (text == nullptr) return std::nullopt;
        const auto found = std::ranges::find(words, *text);
        if (found != words.end()) return choices[static_cast<std::size_t>(found - words.begin())].second;
        draft_.complain(path, tree.at,
                        path + ": " + in_quotes(*text) + " is not " + enumerate(words) + suggestion(*text, words));
        return std::nullopt;
    }

    /// Complains about the keys that nobody took.
    void finish();

    [[nodiscard]] bool has(const std::string& key) const;
    [[nodiscard]] std::string path_of(const std::string& key) const { return path_.empty() ? key : path_ + '.' + key; }
    [[nodiscard]] Draft& draft() { return draft_; }
    /// The text of a scalar; otherwise a complaint and nullptr.
    const std::string* scalar(const std::string& path, const Tree& tree, const std::string& wanted);

  private:
    [[nodiscard]] const TreeEntry* find(const std::string& key) const;
    bool expect(const std::string& path, const Tree& tree, TreeKind kind, const std::string& wanted);

    Draft& draft_;
    const Tree& tree_;
    std::string path_;
    std::string pattern_;
    std::vector<std::string> known_;
    std::set<std::string> taken_;
};

}  // namespace makina
