#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace makina {

/// Reads lines of printable ASCII, each ended by a newline, strictly in the order in which they are asked for.
class Lines {
  public:
    explicit Lines(std::string_view text) : rest_(text) {}

    /// The next line is exactly this one, else Untrusted "<line> is expected, line 3".
    void expect(std::string_view line);
    /// The next line is "<key> <value>"; gives the value, which is not empty. Else Untrusted.
    [[nodiscard]] std::string_view value(std::string_view key);
    /// True if the next line begins with "<key> ". Reads nothing.
    [[nodiscard]] bool follows(std::string_view key) const;
    /// Throws Untrusted "<what>, line 3" about the line that was read last.
    [[noreturn]] void refuse(const std::string& what) const;
    /// What has not been read.
    [[nodiscard]] std::string_view rest() const { return rest_; }

    /// The value of the next line, as a number in its shortest form from `least` to `most`.
    [[nodiscard]] std::uint64_t number(std::string_view key, std::uint64_t least, std::uint64_t most);
    /// The value of the next line, as `digits` lower-case hex digits.
    [[nodiscard]] std::string hex(std::string_view key, std::size_t digits);
    /// The value of the next line, as one RFC 1123 label in lower case.
    [[nodiscard]] std::string label(std::string_view key);
    /// The value of the next line, as a role that payload_kinds knows.
    [[nodiscard]] std::string role(std::string_view key);

  private:
    [[nodiscard]] std::string_view next();

    std::string_view rest_;
    std::size_t read_ = 0;
};

/// The number that `text` says in its shortest decimal form; false if it does not, or does not fit.
[[nodiscard]] bool read_number(std::string_view text, std::uint64_t& number);
[[nodiscard]] bool is_hex(std::string_view text, std::size_t digits);
/// A role that payload_kinds knows.
[[nodiscard]] bool is_role(std::string_view text);
/// RFC 1123: letters, digits and inner hyphens, at most 63; lower case only.
[[nodiscard]] bool is_dns_label(std::string_view text);

}  // namespace makina
