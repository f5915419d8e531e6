#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "firstboot/bundle/error.hpp"
#include "firstboot/journal.hpp"
#include "firstboot/node/node.hpp"
#include "tests/crash/programs/careless.hpp"

// writer FAULT ROOT INPUT: makes the durable changes of a first boot below ROOT in their order, with one fault. INPUT
// has the payloads as they lie on the node, and the done-mark in the file "joined".

namespace makina::crash {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& file) {
    std::stringstream content;
    content << std::ifstream(file, std::ios::binary).rdbuf();
    return std::move(content).str();
}

class Writer {
  public:
    Writer(Fault fault, const fs::path& root) : fault_(fault), root_(root) {
        journal_ = decode_journal(read(on_node(Journal::path)));
    }
    void note(Note::Kind kind, const std::string& text) {
        journal_.add({kind, 1'800'000'000, "keys", text});
        const bool in_place = fault_ == Fault::in_place;
        write_file(on_node(Journal::path), encode(journal_), 0600, in_place ? fault_ : Fault::none);
    }
    void payload(const std::string& path, const std::string& content) {
        note(Note::Kind::intent, path);
        fs::create_directories(on_node(path).parent_path());
        write_file(on_node(path), content, 0600, fault_ == Fault::file_not_synced ? fault_ : Fault::none);
        note(Note::Kind::done, path);
    }
    void seal(const std::string& mark) {
        if (fault_ == Fault::secrets_first) wipe_file(on_node(kept::bundle), fault_);
        write_file(on_node(kept::joined), mark, 0600, fault_ == Fault::folder_not_synced ? fault_ : Fault::none);
        wipe_file(on_node(kept::bundle), fault_);
        note(Note::Kind::done, "sealed");
    }

  private:
    [[nodiscard]] fs::path on_node(std::string_view path) const { return root_.string() + std::string(path); }
    Fault fault_;
    fs::path root_;
    Journal journal_;
};

int work(const std::string& fault, const fs::path& root, const fs::path& input) {
    Writer writer(fault_named(fault).value(), root);
    std::set<fs::path> payloads;
    for (const auto& entry : fs::recursive_directory_iterator(input / "payloads")) {
        if (entry.is_regular_file()) payloads.insert(entry.path());
    }
    for (const fs::path& file : payloads) {
        writer.payload("/" + file.lexically_relative(input / "payloads").string(), read(file));
    }
    writer.seal(read(input / "joined"));
    return 0;
}

}  // namespace
}  // namespace makina::crash

int main(int count, char** arguments) {
    if (count != 4) return 2;
    try {
        return makina::crash::work(arguments[1], arguments[2], arguments[3]);
    } catch (const std::exception& error) {
        (void)std::fprintf(stderr, "writer: %s\n", error.what());
        return 1;
    }
}
