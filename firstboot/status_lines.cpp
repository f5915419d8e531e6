#include "firstboot/status_lines.hpp"

#include <algorithm>

#include "firstboot/bundle/error.hpp"
#include "firstboot/utc.hpp"

namespace makina {
namespace {

/// Reads JSON (RFC 8259) as far as a status needs it. Depth is bounded by the two kinds of object there are.
class Reader {
  public:
    explicit Reader(std::string_view text) : text_(text) {}

    std::string document() {
        std::string lines;
        each_member([&](const std::string& name) {
            if (next() == '[') {
                lines += list(name);
            } else {
                const std::string value = scalar();
                if (!value.empty() && value != "0") lines += line(name, shown(name, value));
            }
        });
        if (next() != '\0') fail();
        return lines;
    }

  private:
    static constexpr std::size_t width = 14;

    /// Moments as people write them; a number that is none is left as it is.
    static std::string shown(const std::string& name, const std::string& value) {
        const bool moment = name == "since" || name == "expires" || name == "now";
        const bool digits = value.size() < 12 && value.find_first_not_of("0123456789") == std::string::npos;
        return moment && digits ? utc(std::stoll(value)) : value;
    }
    static std::string line(std::string name, const std::string& value) {
        std::replace(name.begin(), name.end(), '_', ' ');
        name.resize(std::max(name.size() + 1, width), ' ');
        return name + value + "\n";
    }
    [[noreturn]] static void fail() { throw Error("the status is not what makina-firstboot writes"); }

    char next() {
        at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
        return at_ < text_.size() ? text_[at_] : '\0';
    }
    void take(char wanted) {
        if (next() != wanted) fail();
        ++at_;
    }
    bool take_if(char wanted) {
        if (next() != wanted) return false;
        ++at_;
        return true;
    }

    template <typename Member>
    void each_member(Member member) {
        take('{');
        if (take_if('}')) return;
        do {
            const std::string name = string();
            take(':');
            member(name);
        } while (take_if(','));
        take('}');
    }

    /// The list of steps: "steps  identity done, storage".
    std::string list(const std::string& name) {
        std::string all;
        take('[');
        if (take_if(']')) return "";
        do {
            std::string step;
            each_member([&](const std::string& member) {
                const std::string value = scalar();
                if (value != "yes" && value != "no") step += value;
                if (value == "yes") step += " " + member;
            });
            all += (all.empty() ? "" : ", ") + step;
        } while (take_if(','));
        take(']');
        return line(name, all);
    }

    std::string scalar() {
        if (next() == '"') return string();
        const std::size_t end = std::min(text_.find_first_of(",}] \t\r\n", at_), text_.size());
        std::string word(text_.substr(at_, end - at_));
        at_ = end;
        if (word == "true") return "yes";
        if (word == "false") return "no";
        if (word.empty() || word.find_first_not_of("0123456789-") != std::string::npos) fail();
        return word;
    }

    std::string string() {
        std::string text;
        for (take('"'); at_ < text_.size(); ++at_) {
            char letter = text_[at_];
            if (letter == '"') {
                ++at_;
                return text;
            }
            if (letter == '\\') letter = escaped();
            text += letter >= ' ' && letter <= '~' ? letter : '?';
        }
        fail();
    }
    /// After a backslash; \uXXXX is shown as what it is if it is ASCII.
    char escaped() {
        if (++at_ >= text_.size()) fail();
        if (text_[at_] != 'u') return text_[at_] == '"' || text_[at_] == '\\' || text_[at_] == '/' ? text_[at_] : '?';
        if (at_ + 4 >= text_.size()) fail();
        unsigned value = 0;
        for (int digit = 0; digit < 4; ++digit) {
            const std::size_t found = std::string_view("0123456789abcdef").find(text_[++at_] | 0x20);
            if (found == std::string_view::npos) fail();
            value = value * 16 + static_cast<unsigned>(found);
        }
        return value < 0x7f ? static_cast<char>(value) : '?';
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

std::string to_lines(std::string_view json) {
    return Reader(json).document();
}

}  // namespace makina
