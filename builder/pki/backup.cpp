#include <string_view>

#include "builder/pki/envelope.hpp"
#include "builder/pki/ledger.hpp"
#include "builder/pki/material.hpp"
#include "builder/pki/pki.hpp"
#include "builder/pki/state.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

/// A backup is this line and an envelope; in it, for each file by its path ascending, the line "file PATH SIZE", and
/// the line "end"; then the files' bytes in the same order, up to the last.
constexpr std::string_view first_line = "makina-keys-backup 1\n";

bool is_file_name(std::string_view text) {
    if (text.empty() || text.size() > 64 || text.front() == '.') return false;
    for (const char c : text) {
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.')) return false;
    }
    return true;
}

bool is_path(std::string_view text) {
    const std::size_t slash = text.find('/');
    return slash == std::string_view::npos
               ? is_file_name(text)
               : is_file_name(text.substr(0, slash)) && is_file_name(text.substr(slash + 1));
}

std::string packed(const Files& files) {
    std::string text;
    std::string bytes;
    for (const auto& [path, content] : files) {
        if (!is_path(path)) throw Error(path + " is none of the keys' files: take it out of the folder");
        text += "file " + path + " " + std::to_string(content.size()) + "\n";
        bytes += content;
    }
    return text + "end\n" + bytes;
}

Files unpacked(std::string_view content) {
    Lines lines(content);
    std::vector<std::pair<std::string, std::uint64_t>> list;
    while (lines.follows("file")) {
        const std::string_view text = lines.value("file");
        const std::size_t space = text.find(' ');
        std::uint64_t size = 0;
        if (space == std::string_view::npos || !is_path(text.substr(0, space)) ||
            !read_number(text.substr(space + 1), size)) {
            lines.refuse("no path and size of a file");
        }
        list.emplace_back(text.substr(0, space), size);
        if (list.size() > 1 && list[list.size() - 2].first >= list.back().first)
            lines.refuse("the paths do not ascend");
    }
    lines.expect("end");
    Files files;
    std::string_view rest = lines.rest();
    for (const auto& [path, size] : list) {
        if (rest.size() < size) lines.refuse(path + " ends early");
        files[path] = rest.substr(0, size);
        rest.remove_prefix(size);
    }
    if (!rest.empty()) lines.refuse("bytes that no file accounts for");
    return files;
}

}  // namespace

void Keys::backup(const std::filesystem::path& file, const std::string& passphrase) const {
    if (passphrase.empty()) throw Error("a backup needs a passphrase");
    const std::string envelope = put_in_envelope(packed(state_->material.all()), first_line, passphrase);
    write_new(file, std::string(first_line) + envelope);
    sync_folder(file.has_parent_path() ? file.parent_path() : std::filesystem::path("."));
}

void restore_keys(const std::filesystem::path& file, const std::filesystem::path& folder,
                  const std::string& passphrase) {
    if (has_entries(folder)) throw Error(folder.string() + " exists already: keys are never overwritten");
    const std::string content = read_private(file, std::uint64_t{64} << 20);
    if (content.compare(0, first_line.size(), first_line) != 0) throw Error(file.string() + " is no backup of keys");
    Files files;
    try {
        files = unpacked(open_envelope(std::string_view(content).substr(first_line.size()), first_line, passphrase));
    } catch (const Untrusted& error) {
        throw Error(file.string() + ": " + error.what());
    }
    Ledger ledger = decode_ledger(files["ledger"]);
    ledger.restored.push_back(ledger.entries.size());
    files["ledger"] = encode(ledger);
    make_folder(folder, files);
}

}  // namespace makina
