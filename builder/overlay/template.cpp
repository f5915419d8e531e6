#include <algorithm>
#include <optional>
#include <type_traits>

#include "builder/overlay/overlay.hpp"
#include "builder/overlay/syntax.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::string trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) {
        return "";
    }
    return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

std::vector<std::string> words_of(const std::string& text) {
    std::vector<std::string> words;
    std::size_t at = 0;
    while ((at = text.find_first_not_of(" \t", at)) != std::string::npos) {
        const auto end = std::min(text.find_first_of(" \t", at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end;
    }
    return words;
}

std::vector<std::string> lines_of(const std::string& content) {
    std::vector<std::string> lines;
    std::size_t at = 0;
    while (at < content.size()) {
        const auto end = std::min(content.find('\n', at), content.size());
        lines.push_back(content.substr(at, end - at));
        at = end + 1;
    }
    return lines;
}

bool is_true(const std::string& name, const Value& value) {
    switch (value.kind) {
        case Value::Kind::flag:
            return value.flag;
        case Value::Kind::text:
            return !value.text.empty();
        case Value::Kind::list:
            return !value.list.empty();
        case Value::Kind::number:
        case Value::Kind::group:
            throw Error("\"" + name + "\" is neither yes or no, a list nor a text: it cannot be asked");
    }
    throw Error("unknown kind of value");
}

// The words of a directive line, without the leading %%; nothing for a line of text.
std::optional<std::vector<std::string>> directive_of(const std::string& line) {
    const std::string text = trimmed(line);
    if (text.rfind("%%", 0) != 0) {
        return std::nullopt;
    }
    return words_of(text.substr(2));
}

// Walks the lines of one template once, in order; a %% for walks its body once for each item.
class Renderer {
  public:
    Renderer(const std::string& content, const std::string& origin, const Value::Group& values)
        : lines_(lines_of(content)), origin_(origin), values_(values) {}

    std::string run(bool* left_out) {
        bool kept = true;
        if (!lines_.empty()) {
            const auto first = directive_of(lines_[0]);
            if (first && !first->empty() && first->front() == "only") {
                kept = at(0, [&] { return only(*first); });
                line_ = 1;
            }
        }
        if (left_out != nullptr) {
            *left_out = !kept;
        }
        body(kept, Inside::file);
        return kept ? output_ : "";
    }

  private:
    enum class Inside { file, condition, alternative, loop };
    enum class End { file, end, otherwise };

    template <typename Work>
    std::invoke_result_t<Work> at(std::size_t line, Work&& work) const {
        try {
            return work();
        } catch (const Error& error) {
            throw Error(origin_ + ":" + std::to_string(line + 1) + ": " + error.what());
        }
    }

    [[nodiscard]] const Value& find(const std::string& name) const {
        const Value* value = nullptr;
        std::size_t begin = 0;
        while (begin <= name.size()) {
            const auto end = std::min(name.find('.', begin), name.size());
            const std::string part = name.substr(begin, end - begin);
            value = value == nullptr ? find_first(part) : find_field(*value, part);
            if (value == nullptr) {
                throw Error("unknown name " + shown(name));
            }
            begin = end + 1;
        }
        return *value;
    }

    [[nodiscard]] const Value* find_first(const std::string& name) const {
        for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
            if (scope->first == name) {
                return scope->second;
            }
        }
        const auto found = values_.find(name);
        return found == values_.end() ? nullptr : &found->second;
    }

    static const Value* find_field(const Value& group, const std::string& name) {
        const auto found = group.group.find(name);
        return found == group.group.end() ? nullptr : &found->second;
    }

    // "if NAME" and "if not NAME", from words[first] on.
    [[nodiscard]] bool asked(const std::vector<std::string>& words, std::size_t first, const std::string& usage) const {
        const bool negated = words.size() == first + 2 && words[first] == "not";
        if (words.size() != first + (negated ? 2 : 1)) {
            throw Error("write " + usage + " NAME or " + usage + " not NAME");
        }
        const std::string& name = words.back();
        return is_true(name, find(name)) != negated;
    }

    [[nodiscard]] bool only(const std::vector<std::string>& words) const {
        if (words.size() < 2 || words[1] != "if") {
            throw Error("write %% only if NAME or %% only if not NAME");
        }
        return asked(words, 2, "%% only if");
    }

    // Renders from line_ to the directive that ends this part. Without `live` it only looks for the end; names are
    // still not looked up, because a part that is left out may speak of what this node does not have.
    End body(bool live, Inside inside) {
        const std::size_t opened = line_ == 0 ? 0 : line_ - 1;
        while (line_ < lines_.size()) {
            const std::size_t here = line_++;
            const auto words = directive_of(lines_[here]);
            if (!words) {
                if (live) {
                    at(here, [&] { text(lines_[here]); });
                }
                continue;
            }
            const std::string word = words->empty() ? "" : words->front();
            if (word == "end" && inside != Inside::file) {
                return End::end;
            }
            if (word == "else" && inside == Inside::condition) {
                return End::otherwise;
            }
            if (word == "for") {
                loop(*words, here, live);
            } else if (word == "if") {
                condition(*words, here, live);
            } else {
                at(here, [&] { plain_directive(*words, word); });
            }
        }
        if (inside != Inside::file) {
            throw Error(origin_ + ":" + std::to_string(opened + 1) + ": " + trimmed(lines_[opened]) + " has no %% end");
        }
        return End::file;
    }

    void plain_directive(const std::vector<std::string>& words, const std::string& word) {
        if (word == "syntax") {
            if (words.size() != 2) {
                throw Error("write %% syntax yaml, shell, word or line");
            }
            syntax_ = parse_syntax(words[1]);
        } else if (word == "only") {
            throw Error("%% only if must be the first line");
        } else if (word == "end" || word == "else") {
            throw Error("%% " + word + " without its %% if" + (word == "end" ? " or %% for" : ""));
        } else {
            throw Error("unknown directive " + shown(word) + ", use only, syntax, for, if, else or end");
        }
    }

    void condition(const std::vector<std::string>& words, std::size_t here, bool live) {
        const bool yes = live && at(here, [&] { return asked(words, 1, "%% if"); });
        if (body(yes, Inside::condition) == End::otherwise) {
            body(live && !yes, Inside::alternative);
        }
    }

    void loop(const std::vector<std::string>& words, std::size_t here, bool live) {
        const Value* list = at(here, [&]() -> const Value* {
            if (words.size() != 4 || words[2] != "in") {
                throw Error("write %% for X in NAME");
            }
            if (!live) {
                return nullptr;
            }
            const Value& value = find(words[3]);
            if (value.kind != Value::Kind::list) {
                throw Error("\"" + words[3] + "\" is not a list");
            }
            return &value;
        });
        const std::size_t first = line_;
        if (list == nullptr || list->list.empty()) {
            body(false, Inside::loop);
            return;
        }
        for (const Value& item : list->list) {
            line_ = first;
            scopes_.emplace_back(words[1], &item);
            body(true, Inside::loop);
            scopes_.pop_back();
        }
    }

    void text(const std::string& line) {
        std::size_t begin = 0;
        for (;;) {
            const auto open = line.find("{{", begin);
            if (open == std::string::npos) {
                output_ += line.substr(begin) + '\n';
                return;
            }
            const auto close = line.find("}}", open);
            if (close == std::string::npos) {
                throw Error("{{ without }}");
            }
            output_ += line.substr(begin, open - begin);
            output_ += placeholder(line, open, close);
            begin = close + 2;
        }
    }

    [[nodiscard]] std::string placeholder(const std::string& line, std::size_t open, std::size_t close) const {
        const std::string name = trimmed(std::string_view(line).substr(open + 2, close - open - 2));
        const Value& value = find(name);
        if (!syntax_) {
            throw Error("a placeholder before %% syntax");
        }
        const std::string_view all = line;
        return written(*syntax_, name, value, all.substr(0, open), all.substr(close + 2));
    }

    std::vector<std::string> lines_;
    std::string origin_;
    const Value::Group& values_;
    std::vector<std::pair<std::string, const Value*>> scopes_;
    std::optional<Syntax> syntax_;
    std::size_t line_ = 0;
    std::string output_;
};

}  // namespace

std::string render(const std::string& content, const std::string& origin, const Value::Group& values, bool* left_out) {
    return Renderer(content, origin, values).run(left_out);
}

}  // namespace makina
