#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "builder/profile/draft.hpp"

namespace makina {

// The syntax of single values. Each rule is as strict as the file or protocol in which the value lands, so that no
// value can become configuration of its own.

[[nodiscard]] bool is_digit(char letter);
[[nodiscard]] bool is_lower(char letter);
[[nodiscard]] bool is_alphanumeric(char letter);
/// True if every letter of `text` is alphanumeric or one of `others`.
[[nodiscard]] bool is_made_of(std::string_view text, std::string_view others);
[[nodiscard]] bool is_printable(std::string_view text);  ///< ASCII, blanks included
/// A rule that keeps the text as it is.
[[nodiscard]] Rule<std::string> text_that(std::string wanted, bool (*fits)(const std::string&));

/// A decimal number without sign or leading zeros.
[[nodiscard]] Rule<std::uint64_t> number(std::uint64_t lowest, std::uint64_t highest);
[[nodiscard]] Rule<std::uint64_t> port();
/// Bytes: "512MiB", "1GiB", "2TiB".
[[nodiscard]] Rule<std::uint64_t> size(std::uint64_t lowest, std::uint64_t highest, const std::string& range);
[[nodiscard]] Rule<bool> yes_or_no();

[[nodiscard]] Rule<Address> address();
[[nodiscard]] Rule<Subnet> subnet();
[[nodiscard]] Rule<std::string> mac();             ///< lower case afterwards
[[nodiscard]] Rule<std::string> serial();          ///< 16 digits, lower case afterwards
[[nodiscard]] Rule<std::string> label();           ///< one RFC 1123 label, lower case, at most 63
[[nodiscard]] Rule<std::string> domain();          ///< RFC 1123 labels with dots, lower case, at most 253
[[nodiscard]] Rule<std::string> host();            ///< a domain or an address
[[nodiscard]] Rule<std::string> interface_name();  ///< what Linux takes as one: at most 15
[[nodiscard]] Rule<std::string> web_address();     ///< http:// or https://
[[nodiscard]] bool is_web_address(std::string_view text);
[[nodiscard]] Rule<std::string> container_image();  ///< of one version: with a tag that is not "latest", or a digest

[[nodiscard]] Rule<Version> version();
[[nodiscard]] Rule<std::string> release();   ///< a Debian release's code name
[[nodiscard]] Rule<std::string> sha256();    ///< lower case afterwards
[[nodiscard]] Rule<std::string> duration();  ///< Go's: "8h", "1h30m"
[[nodiscard]] Rule<std::string> cpu();       ///< Kubernetes quantities
[[nodiscard]] Rule<std::string> memory();
[[nodiscard]] Rule<std::string> file_name();  ///< a path on this computer: no control characters

[[nodiscard]] Rule<std::string> user();
[[nodiscard]] Rule<std::string> ssh_key();
[[nodiscard]] Rule<std::string> package();      ///< Debian's, optionally "=version"
[[nodiscard]] Rule<std::string> node_path();    ///< absolute and normal, and a place that survives boot
[[nodiscard]] Rule<std::uint64_t> file_mode();  ///< octal
[[nodiscard]] Rule<std::string> kernel_argument();
[[nodiscard]] Rule<std::string> sysctl_name();
[[nodiscard]] Rule<std::string> one_line();     ///< printable ASCII
[[nodiscard]] Rule<std::string> config_line();  ///< of config.txt
[[nodiscard]] Rule<std::string> taint();
[[nodiscard]] bool is_label_key(std::string_view text);  ///< Kubernetes: [prefix/]name
[[nodiscard]] Rule<std::string> label_value();

}  // namespace makina
