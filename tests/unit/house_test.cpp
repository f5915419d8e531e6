#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <string>
#include <vector>

namespace makina {
namespace {

const std::filesystem::path source = MAKINA_SOURCE;

struct Include {
    std::string file;    ///< from the project's folder: "builder/disk/fat.cpp"
    std::string header;  ///< as it is written between the quotes or brackets
};

const std::vector<Include>& includes() {
    static const std::vector<Include> all = [] {
        std::vector<Include> found;
        const std::regex line_of_include("^\\s*#include [<\"]([^>\"]+)[>\"].*");
        for (const char* const folder : {"builder", "firstboot"}) {
            for (const auto& entry : std::filesystem::recursive_directory_iterator(source / folder)) {
                if (entry.path().extension() != ".cpp" && entry.path().extension() != ".hpp") continue;
                std::ifstream file(entry.path());
                std::smatch match;
                for (std::string line; std::getline(file, line);) {
                    if (std::regex_match(line, match, line_of_include)) {
                        found.push_back({entry.path().lexically_relative(source).string(), match[1]});
                    }
                }
            }
        }
        return found;
    }();
    return all;
}

bool begins(const std::string& text, const std::string& with) {
    return text.rfind(with, 0) == 0;
}

TEST(House, NamesEachForeignLibraryInItsOwnRoomsOnly) {
    // A library's headers -> the rooms that may name them.
    const std::map<std::string, std::vector<std::string>> rooms = {
        {"yaml-cpp/", {"builder/profile/"}},
        {"CLI/", {"builder/commands/"}},
        {"nlohmann/", {"builder/commands/", "firstboot/join/etcd_api.", "firstboot/join/kubernetes_api."}},
        {"archive", {"builder/base/"}},
        {"lzma", {"builder/flash/"}},
        {"zlib", {"builder/flash/"}},
        {"zstd", {"builder/flash/", "builder/disk/"}},
        {"libfdisk/", {"builder/disk/"}},
        {"ext2fs/", {"builder/disk/"}},
        {"et/", {"builder/disk/"}},
        {"openssl/", {"firstboot/bundle/", "firstboot/machine/tls.", "firstboot/machine/channel.", "builder/pki/"}}};
    for (const auto& [library, allowed] : rooms) {
        std::size_t named = 0;
        for (const Include& include : includes()) {
            if (!begins(include.header, library)) continue;
            ++named;
            EXPECT_TRUE(std::any_of(allowed.begin(), allowed.end(),
                                    [&](const std::string& room) { return begins(include.file, room); }))
                << include.file << " names " << include.header;
        }
        EXPECT_GT(named, 0U) << library << " is named nowhere: the table is stale";
    }
}

TEST(House, LooksOnlyDownwards) {
    // What a room may not name: a plan decides without writing, file systems know no cluster, and so on.
    const std::map<std::string, std::vector<std::string>> walls = {
        {"builder/profile/",
         {"builder/overlay/", "builder/plan", "builder/base/", "builder/disk/", "builder/image", "builder/commands/"}},
        {"builder/overlay/",
         {"builder/profile/", "builder/plan", "builder/base/", "builder/disk/", "builder/commands/"}},
        {"builder/plan", {"builder/base/", "builder/disk/", "builder/image", "builder/commands/"}},
        {"builder/disk/",
         {"builder/profile/", "builder/plan", "builder/overlay/", "builder/base/", "builder/commands/"}},
        {"builder/base/", {"builder/overlay/", "builder/image", "builder/commands/", "builder/card/"}},
        {"builder/card/", {"builder/commands/", "builder/base/"}},
        {"builder/rehearse/", {"builder/commands/", "builder/base/"}},
        {"builder/flash/",
         {"builder/profile/", "builder/plan", "builder/overlay/", "builder/base/", "builder/image", "builder/pki/",
          "builder/commands/"}},
        {"builder/pki/",
         {"builder/profile/", "builder/plan", "builder/disk/", "builder/image", "builder/base/", "builder/commands/"}},
        {"firstboot/", {"builder/"}},
        {"firstboot/bundle/", {"firstboot/host", "firstboot/run", "firstboot/node/", "firstboot/machine/"}},
        {"firstboot/node/", {"firstboot/machine/", "firstboot/bundle/sealed", "firstboot/join/"}},
        {"firstboot/join/", {"firstboot/machine/", "firstboot/bundle/sealed", "firstboot/node/"}},
        {"firstboot/machine/", {"firstboot/node/", "firstboot/join/", "firstboot/run", "firstboot/stage"}},
        {"builder/", {"firstboot/node/", "firstboot/join/", "firstboot/machine/", "firstboot/run", "firstboot/host"}}};
    for (const auto& [room, forbidden] : walls) {
        for (const Include& include : includes()) {
            if (!begins(include.file, room)) continue;
            for (const std::string& other : forbidden) {
                EXPECT_FALSE(begins(include.header, other)) << include.file << " names " << include.header;
            }
        }
    }
}

TEST(House, KeepsShellStringsAway) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source / "builder")) {
        if (entry.path().extension() != ".cpp") continue;
        std::ifstream file(entry.path());
        for (std::string line; std::getline(file, line);) {
            EXPECT_EQ(line.find("popen("), std::string::npos) << entry.path();
            EXPECT_EQ(line.find("std::system("), std::string::npos) << entry.path();
        }
    }
}

}  // namespace
}  // namespace makina
