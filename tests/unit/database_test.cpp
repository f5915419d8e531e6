#include "builder/base/database.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "builder/base/deb.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "tests/unit/scratch.hpp"

namespace makina {
namespace {

using Paragraph = std::map<std::string, std::string>;

/// Paragraphs of deb822 text by the package that each is of; white space at the ends of lines and between words is one.
std::map<std::string, Paragraph> paragraphs(const std::string& text) {
    std::map<std::string, Paragraph> result;
    Paragraph current;
    std::string key;
    const auto finish = [&] {
        if (!current.empty()) result[current["Package"]] = current;
        current.clear();
    };
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.empty()) {
            finish();
        } else if (line[0] == ' ' || line[0] == '\t') {
            current[key] += "\n" + line;
        } else {
            key = line.substr(0, line.find(':'));
            current[key] = line.substr(std::min(line.size(), line.find_first_not_of(' ', key.size() + 1)));
        }
    }
    finish();
    return result;
}

/// Two packages, one of them with everything a package can have, installed twice: by dpkg itself, and by us.
class Database : public testing::Test {
  protected:
    void SetUp() override {
        if (!have_program("dpkg") || !have_program("dpkg-deb")) GTEST_SKIP() << "dpkg is not installed";
        architecture = run_checked({{"dpkg", "--print-architecture"}});
        architecture.pop_back();
        control("rich", "Package: rich\nSource: rich-src (2.0)\nVersion: 1:2.0-1\nArchitecture: " + architecture +
                            "\nMulti-Arch: same\nMaintainer: Nobody <nobody@example.org>\nInstalled-Size: 12\n"
                            "Pre-Depends: plain (>= 0.5)\nDepends: plain (>= 1.0) | other\nProvides: virtual (= 2)\n"
                            "Conflicts: enemy\nSection: admin\nPriority: optional\nHomepage: https://example.org/\n"
                            "Description: a package with everything\n A second line.\n .\n Another paragraph.\n");
        scratch.write("rich/DEBIAN/conffiles", "/etc/rich.conf\n/etc/rich.d/one\n");
        scratch.write("rich/DEBIAN/shlibs", "librich 1 rich\n");
        scratch.write("rich/DEBIAN/triggers", "interest-noawait /usr/share/rich-trigger\n");
        const auto script = scratch.write("rich/DEBIAN/postinst", "#!/bin/sh\nexit 0\n");
        chmod(script.c_str(), 0755);
        scratch.write("rich/DEBIAN/md5sums", md5("data") + "  usr/share/rich/data\n");
        scratch.write("rich/etc/rich.conf", "answer = 42\n");
        scratch.write("rich/etc/rich.d/one", "");
        scratch.write("rich/usr/share/rich/data", "data");
        std::filesystem::create_symlink("data", scratch / "rich/usr/share/rich/link");
        control("plain",
                "Package: plain\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n"
                "Description: a package with nothing\n");
        scratch.write("plain/DEBIAN/md5sums", md5("x") + "  usr/share/plain\n");
        scratch.write("plain/usr/share/plain", "x");
        for (const char* const name : {"plain", "rich"}) debs.push_back(build(name));
    }
    void control(const std::string& name, const std::string& text) const {
        scratch.write(name + "/DEBIAN/control", text);
    }
    [[nodiscard]] std::filesystem::path build(const std::string& name) const {
        auto deb = scratch / (name + ".deb");
        run_checked({{"dpkg-deb", "--root-owner-group", "-Zgzip", "--build", (scratch / name).string(), deb.string()}});
        return deb;
    }
    /// What the node's root remembers of a package while it unpacks it.
    [[nodiscard]] InstalledPackage installed(const std::filesystem::path& deb, bool asked) const {
        InstalledPackage package;
        package.control = read_control(deb);
        const auto fields = paragraphs(package.control.at("control"));
        package.package.name = fields.begin()->first;
        package.package.version = fields.begin()->second.at("Version");
        package.package.architecture = fields.begin()->second.at("Architecture");
        package.package.asked = asked;
        const auto list = package.control.find("conffiles");
        visit_deb(deb, [&](const PackedFile& file, const Content& content) {
            package.paths.push_back(file.path);
            const bool named = list != package.control.end() &&
                               ("\n" + list->second).find("\n" + file.path + "\n") != std::string::npos;
            if (named) package.conffiles[file.path] = md5(content());
        });
        return package;
    }
    /// Writes the database into `root`, with the few empty files and folders that dpkg itself makes.
    void write_database(const std::string& root, const std::vector<InstalledPackage>& packages) const {
        for (const File& file : package_database(packages, architecture)) {
            const auto path = scratch.write(root + file.path, file.content);
            chmod(path.c_str(), file.mode);
        }
        std::filesystem::create_directories(scratch / (root + "/var/lib/dpkg/updates"));
        std::filesystem::create_directories(scratch / (root + "/var/lib/dpkg/triggers"));
    }
    /// Has dpkg install the packages into a folder.
    [[nodiscard]] std::string install(const std::string& root) const {
        for (const char* const part : {"info", "updates", "triggers"}) {
            std::filesystem::create_directories(scratch / (root + "/var/lib/dpkg/" + part));
        }
        scratch.write(root + "/var/lib/dpkg/status", "");
        scratch.write(root + "/var/lib/dpkg/available", "");
        for (const auto& deb : debs) {
            const Result result =
                run({{"dpkg", "--root=" + (scratch / root).string(), "--force-not-root,script-chrootless",
                      "--log=/dev/null", "--install", deb.string()},
                     {{"LC_ALL", "C"}}});
            if (result.status != 0) return result.output + result.errors;
        }
        return "";
    }
    [[nodiscard]] std::string query(const std::string& program, const std::vector<std::string>& arguments) const {
        std::vector<std::string> argv = {program, "--admindir=" + (scratch / "ours/var/lib/dpkg").string()};
        argv.insert(argv.end(), arguments.begin(), arguments.end());
        return run_checked({argv, {{"LC_ALL", "C"}}});
    }

    Scratch scratch;
    std::string architecture;
    std::vector<std::filesystem::path> debs;
};

TEST_F(Database, SaysFieldByFieldWhatDpkgSays) {
    if (const std::string why = install("theirs"); !why.empty()) GTEST_SKIP() << "dpkg cannot install here: " << why;
    write_database("ours", {installed(debs[0], false), installed(debs[1], true)});
    const auto theirs = paragraphs(slurp(scratch / "theirs/var/lib/dpkg/status"));
    const auto ours = paragraphs(slurp(scratch / "ours/var/lib/dpkg/status"));
    ASSERT_EQ(theirs.size(), 2);
    EXPECT_EQ(ours, theirs);
}

TEST_F(Database, HasTheFilesThatDpkgKeeps) {
    if (const std::string why = install("theirs"); !why.empty()) GTEST_SKIP() << "dpkg cannot install here: " << why;
    write_database("ours", {installed(debs[0], false), installed(debs[1], true)});
    const auto theirs = scratch / "theirs/var/lib/dpkg/info";
    const auto ours = scratch / "ours/var/lib/dpkg/info";
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(theirs)) names.push_back(entry.path().filename());
    EXPECT_GE(names.size(), 8);
    for (const std::string& name : names) {
        ASSERT_TRUE(std::filesystem::exists(ours / name)) << name;
        EXPECT_EQ(slurp(ours / name), slurp(theirs / name)) << name;
        EXPECT_EQ(std::filesystem::status(ours / name).permissions(),
                  std::filesystem::status(theirs / name).permissions())
            << name;
    }
    for (const auto& entry : std::filesystem::directory_iterator(ours)) {
        EXPECT_TRUE(std::filesystem::exists(theirs / entry.path().filename())) << entry.path();
    }
}

TEST_F(Database, IsInOrderForDpkg) {
    write_database("ours", {installed(debs[0], false), installed(debs[1], true)});
    EXPECT_EQ(query("dpkg", {"--audit"}), "");
    EXPECT_EQ(query("dpkg-query", {"-W", "-f=${binary:Package} ${Version} ${db:Status-Abbrev}\\n"}),
              "plain 1.0 ii \nrich:" + architecture + " 1:2.0-1 ii \n");
    EXPECT_EQ(query("dpkg-query", {"-S", "/usr/share/rich/data"}), "rich:" + architecture + ": /usr/share/rich/data\n");
    EXPECT_EQ(query("dpkg-query", {"-W", "-f=${Conffiles}\\n", "rich"}),
              " /etc/rich.conf " + md5("answer = 42\n") + "\n /etc/rich.d/one " + md5("") + "\n");
    EXPECT_EQ(query("dpkg", {"--print-foreign-architectures"}), "");
}

TEST_F(Database, HoldsWhatIsHeld) {
    InstalledPackage held = installed(debs[1], true);
    held.hold = true;
    write_database("ours", {installed(debs[0], false), held});
    EXPECT_EQ(query("dpkg-query", {"-W", "-f=${Status}\\n", "rich"}), "hold ok installed\n");
    EXPECT_EQ(query("dpkg", {"--get-selections"}),
              "plain\t\t\t\t\t\tinstall\nrich:" + architecture + "\t\t\t\t\thold\n");
    EXPECT_EQ(query("dpkg", {"--audit"}), "");
}

TEST_F(Database, TellsAptWhatNobodyAskedFor) {
    InstalledPackage essential = installed(debs[0], false);
    essential.package.name = "base-files";
    essential.control["control"] = "Package: base-files\nEssential: yes\nDescription: x\n";
    write_database("ours", {essential, installed(debs[0], false), installed(debs[1], true)});
    EXPECT_EQ(slurp(scratch / "ours/var/lib/apt/extended_states"),
              "Package: plain\nArchitecture: " + architecture + "\nAuto-Installed: 1\n\n");
}

TEST_F(Database, KeepsConffilesOfAPackageWithoutADescription) {
    InstalledPackage package = installed(debs[1], true);
    std::string& text = package.control["control"];
    text.erase(text.find("Description:"));
    EXPECT_NE(status_paragraph(package).find("\nConffiles:\n /etc/rich.conf "), std::string::npos);
}

TEST_F(Database, NamesRecordsByArchitectureOnlyWhereSeveralMayBeInstalled) {
    EXPECT_EQ(record_name(installed(debs[0], true)), "plain");
    EXPECT_EQ(record_name(installed(debs[1], true)), "rich:" + architecture);
}

TEST_F(Database, LetsDpkgRemoveAPackage) {
    write_database("ours", {installed(debs[0], false), installed(debs[1], true)});
    for (const auto& deb : debs) run_checked({{"dpkg-deb", "--extract", deb.string(), (scratch / "ours").string()}});
    const Result removed = run({{"dpkg", "--root=" + (scratch / "ours").string(), "--force-not-root,script-chrootless",
                                 "--log=/dev/null", "--purge", "rich"},
                                {{"LC_ALL", "C"}}});
    ASSERT_EQ(removed.status, 0) << removed.errors;
    EXPECT_FALSE(std::filesystem::exists(scratch / "ours/etc/rich.conf"));
    EXPECT_FALSE(std::filesystem::exists(scratch / "ours/usr/share/rich"));
    EXPECT_TRUE(std::filesystem::exists(scratch / "ours/usr/share/plain"));
    EXPECT_EQ(query("dpkg-query", {"-W", "-f=${Package}\\n"}), "plain\n");
}

}  // namespace
}  // namespace makina
