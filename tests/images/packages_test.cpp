#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "builder/disk/disk.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/images/suite.hpp"

// A card's root file system beside what its own package database and its packages say should be there.
namespace makina::images {
namespace {

constexpr const char* database = "/var/lib/dpkg/info/";

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
    return parts;
}

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// dpkg's path-exclude and path-include lines (dpkg(1)): the last that matches decides.
class PathFilter {
  public:
    explicit PathFilter(const std::string& configuration) {
        for (const std::string& line : lines(configuration)) {
            const auto equals = line.find('=');
            const std::string key = line.substr(0, equals);
            if (key == "path-exclude" || key == "path-include") {
                rules_.emplace_back(key == "path-include", line.substr(equals + 1));
            }
        }
    }
    [[nodiscard]] bool excludes(const std::string& path) const {
        bool included = true;
        for (const auto& [include, pattern] : rules_) {
            if (fnmatch(pattern.c_str(), path.c_str(), 0) == 0) included = include;
        }
        return !included;
    }
    [[nodiscard]] bool empty() const { return rules_.empty(); }

  private:
    std::vector<std::pair<bool, std::string>> rules_;
};

/// One role's card and what was written over its base.
class Installed : public testing::TestWithParam<Subject> {
  protected:
    Installed()
        : image(card(GetParam()).path),
          root(image, read_partition_table(image).find(2)->offset, false),
          filter(root.read_file("/etc/dpkg/dpkg.cfg.d/makina")) {
        const Result plan = makina(build_arguments(GetParam(), "unused", {"--dry-run", "--json"}));
        const Json event = images::event(plan.output, "plan");
        for (const Json& file : event.at("files")) ours.insert(file["path"]);
        for (const Json& path : event.at("removals")) ours.insert(path);
    }

    [[nodiscard]] std::vector<std::string> records(const std::string& ending) const {
        std::vector<std::string> names;
        for (const std::string& name : root.list(database)) {
            if (ends_with(name, ending)) names.push_back(database + name);
        }
        return names;
    }
    /// A diverted file (dpkg-divert(1)) lies under another name: three lines each, from, to, package.
    [[nodiscard]] std::map<std::string, std::string> diversions() const {
        const std::vector<std::string> text = lines(root.read_file("/var/lib/dpkg/diversions"));
        std::map<std::string, std::string> diverted;
        for (std::size_t i = 0; i + 2 < text.size(); i += 3) diverted[text[i]] = text[i + 1];
        return diverted;
    }
    [[nodiscard]] std::map<std::string, std::uint32_t> ids(const std::string& file) const {
        std::map<std::string, std::uint32_t> numbers;
        for (const std::string& line : lines(root.read_file(file))) {
            const auto fields = split(line, ':');
            numbers[fields.at(0)] = static_cast<std::uint32_t>(std::stoul(fields.at(2)));
        }
        return numbers;
    }

    fs::path image;
    Ext4 root;
    PathFilter filter;
    std::set<std::string> ours;  ///< written or removed by the plan
};

/// Listed by a package, and removed by its own maintainer script.
const std::set<std::string> removed_by_scripts = {};

TEST_P(Installed, HasEveryFileThatItsPackagesList) {
    ASSERT_FALSE(filter.empty());
    const auto diverted = diversions();
    std::uint64_t files = 0;
    std::vector<std::string> missing;
    for (const std::string& list : records(".list")) {
        for (const std::string& path : lines(root.read_file(list))) {
            if (path == "/." || filter.excludes(path) || ours.count(path) != 0) continue;
            const auto to = diverted.find(path);
            if (!root.stat(path) && (to == diverted.end() || !root.stat(to->second))) missing.push_back(path);
            ++files;
        }
    }
    EXPECT_THAT(missing, testing::IsSubsetOf(removed_by_scripts));
    EXPECT_GT(files, 5000U);
    count("files_listed", files);
}

TEST_P(Installed, HasFilesWithTheContentThatThePackagesSay) {
    std::vector<std::pair<std::string, std::string>> sums;
    for (const std::string& record : records(".md5sums")) {
        for (const std::string& line : lines(root.read_file(record))) {
            const std::string path = "/" + line.substr(34);
            if (!filter.excludes(path) && ours.count(path) == 0) sums.emplace_back(path, line.substr(0, 32));
        }
    }
    std::sort(sums.begin(), sums.end());
    ASSERT_GT(sums.size(), 3000U);
    const std::size_t step = long_form() ? 1 : sums.size() / 2500;
    std::vector<std::string> different;
    std::uint64_t files = 0;
    for (std::size_t i = 0; i < sums.size(); i += step) {
        if (md5(root.read_file(sums[i].first)) != sums[i].second) different.push_back(sums[i].first);
        ++files;
    }
    EXPECT_THAT(different, testing::IsEmpty());
    EXPECT_GE(files, 2000U);
    count("files_checked", files);
}

/// One line of dpkg-deb --contents: "-rwsr-xr-x root/root 133440 2026-07-31 15:34 ./usr/bin/mount".
struct Packed {
    std::string path;
    std::uint32_t mode = 0;
    std::string user, group;
};

std::uint32_t mode_of(const std::string& letters) {
    std::uint32_t mode = 0;
    for (std::size_t i = 1; i < 10; ++i) {
        const char letter = letters.at(i);
        const bool set = letter != '-' && letter != 'S' && letter != 'T';
        mode = mode * 2 + (set ? 1 : 0);
    }
    if (std::string("sS").find(letters[3]) != std::string::npos) mode |= 04000;
    if (std::string("sS").find(letters[6]) != std::string::npos) mode |= 02000;
    if (std::string("tT").find(letters[9]) != std::string::npos) mode |= 01000;
    return mode;
}

std::vector<Packed> contents(const fs::path& deb) {
    std::vector<Packed> files;
    for (const std::string& line : lines(run_checked({{"dpkg-deb", "--contents", deb.string()}}))) {
        if (line[0] != '-' && line[0] != 'd') continue;  // a link has no mode, a hard link's second name no own
        std::istringstream words(line);
        std::string letters;
        std::string owner;
        std::string skipped;
        Packed file;
        words >> letters >> owner >> skipped >> skipped >> skipped;
        std::getline(words, file.path);
        file.path = file.path.substr(2);
        if (file.path.size() > 1 && file.path.back() == '/') file.path.pop_back();
        file.mode = mode_of(letters);
        file.user = owner.substr(0, owner.find('/'));
        file.group = owner.substr(owner.find('/') + 1);
        files.push_back(file);
    }
    return files;
}

/// The .debs that a card's base was made of, as its database names them. Those that are not in the cache are added to
/// `absent`.
std::vector<fs::path> packages_of(const Ext4& root, std::vector<std::string>& absent) {
    std::map<std::string, fs::path> fetched;
    for (const auto& entry : fs::recursive_directory_iterator(cache())) {
        if (entry.path().extension() == ".deb") fetched[entry.path().filename().string()] = entry.path();
    }
    std::vector<fs::path> debs;
    std::map<std::string, std::string> fields;
    for (const std::string& line : lines(root.read_file("/var/lib/dpkg/status") + "\n")) {
        const auto colon = line.find(": ");
        if (colon != std::string::npos && line[0] != ' ') fields[line.substr(0, colon)] = line.substr(colon + 2);
        if (!line.empty() || fields.empty()) continue;
        // In file names apt writes the epoch's colon as %3a.
        std::string version = fields["Version"];
        if (const auto epoch = version.find(':'); epoch != std::string::npos) version.replace(epoch, 1, "%3a");
        const std::string name = fields["Package"] + "_" + version + "_" + fields["Architecture"] + ".deb";
        const auto found = fetched.find(name);
        if (found == fetched.end()) {
            absent.push_back(name);
        } else {
            debs.push_back(found->second);
        }
        fields.clear();
    }
    return debs;
}

/// What maintainer scripts change on purpose, as they do on any Debian.
const std::map<std::string, std::string> changed_by_scripts = {
    {"/var/cache/apt/archives/partial", "700 _apt:root"},  // apt fetches as a user of its own
    {"/var/lib/apt/lists/partial", "700 _apt:root"},       // apt
    {"/etc/credstore", "700 root:root"},                   // systemd: secrets of services
    {"/etc/credstore.encrypted", "700 root:root"},         // systemd
    {"/etc/sudoers", "440 root:root"},                     // sudo refuses it otherwise
    {"/usr/bin/ssh-agent", "2755 root:_ssh"},              // openssh-client: it cannot be traced
    {"/usr/lib/dbus-1.0/dbus-daemon-launch-helper", "4754 root:messagebus"},
    {"/var/lock", "777 root:root"},  // base-files: the folder becomes a link to /run/lock
    {"/var/run", "777 root:root"}};

std::string name_of(const std::map<std::string, std::uint32_t>& ids, std::uint32_t id) {
    for (const auto& [name, number] : ids) {
        if (number == id) return name;
    }
    return std::to_string(id);
}

TEST_P(Installed, HasTheModesAndOwnersThatThePackagesGive) {
    const auto users = ids("/etc/passwd");
    const auto groups = ids("/etc/group");
    const auto diverted = diversions();
    std::map<std::string, Packed> wanted;
    std::vector<std::string> absent;
    const std::vector<fs::path> debs = packages_of(root, absent);
    EXPECT_THAT(absent, testing::IsEmpty()) << "packages of the base that the cache does not have";
    for (const fs::path& deb : debs) {
        for (Packed& file : contents(deb)) wanted.emplace(file.path, std::move(file));
    }
    std::map<std::string, std::string> different;
    std::uint64_t files = 0;
    for (const auto& [path, file] : wanted) {
        if (path == "/" || filter.excludes(path) || ours.count(path) != 0 || diverted.count(path) != 0) continue;
        const auto found = root.stat(path);
        if (!found) continue;  // another test's matter
        ++files;
        std::ostringstream is;
        std::ostringstream should;
        is << std::oct << (found->mode & 07777U) << " " << name_of(users, found->uid) << ":"
           << name_of(groups, found->gid);
        should << std::oct << file.mode << " " << file.user << ":" << file.group;
        const auto changed = changed_by_scripts.find(path);
        if (is.str() != (changed == changed_by_scripts.end() ? should.str() : changed->second)) {
            different[path] = is.str() + " instead of " + should.str();
        }
    }
    EXPECT_THAT(different, testing::IsEmpty());
    EXPECT_GT(files, 5000U);
    count("modes_checked", files);
}

TEST_P(Installed, KeepsTheProgramsThatRunAsRoot) {
    for (const char* const path : {"/usr/bin/su", "/usr/bin/sudo", "/usr/bin/mount", "/usr/bin/umount",
                                   "/usr/bin/passwd", "/usr/lib/openssh/ssh-keysign"}) {
        const auto found = root.stat(path);
        ASSERT_TRUE(found) << path;
        EXPECT_EQ(found->mode, S_IFREG | 04755U) << path;
        EXPECT_EQ(found->uid, 0U) << path;
    }
    const auto helper = root.stat("/usr/lib/dbus-1.0/dbus-daemon-launch-helper");
    ASSERT_TRUE(helper);
    EXPECT_EQ(helper->mode, S_IFREG | 04754U);
    EXPECT_EQ(helper->gid, ids("/etc/group").at("messagebus"));
}

TEST_P(Installed, HasTheUsersAndGroupsOfItsServices) {
    std::set<std::string> wanted = {
        "root", "messagebus", "sshd", "systemd-network", "systemd-resolve", "systemd-timesync", "_apt", "nobody"};
    if (GetParam().role == "load-balancer") wanted.insert({"haproxy"});
    if (GetParam().role == "etcd") wanted.insert({"etcd"});
    const auto users = ids("/etc/passwd");
    for (const std::string& user : wanted) EXPECT_EQ(users.count(user), 1U) << user;
    const auto groups = ids("/etc/group");
    for (const char* const group : {"root", "sudo", "shadow", "systemd-journal", "messagebus", "tty", "_ssh"}) {
        EXPECT_EQ(groups.count(group), 1U) << group;
    }
    // Nobody's password is known, and nobody's is empty.
    for (const std::string& line : lines(root.read_file("/etc/shadow"))) {
        const std::string password = split(line, ':').at(1);
        EXPECT_THAT(password, testing::AnyOf(testing::StartsWith("!"), testing::StartsWith("*"))) << line;
    }
    const auto shadow = root.stat("/etc/shadow");
    EXPECT_EQ(shadow->mode, S_IFREG | 0640U);
    EXPECT_EQ(shadow->gid, groups.at("shadow"));
}

TEST_P(Installed, EnablesTheUnitsOfItsRole) {
    const std::map<std::string, std::vector<std::string>> of_role = {
        {"control-plane", {"containerd.service", "kubelet.service"}},
        {"worker", {"containerd.service", "kubelet.service"}},
        {"load-balancer", {"haproxy.service", "keepalived.service"}},
        {"etcd", {"etcd.service"}},
        {"gateway", {"nftables.service"}}};
    std::set<std::string> enabled;
    for (const std::string& folder : root.list("/etc/systemd/system")) {
        if (!ends_with(folder, ".wants")) continue;
        for (const std::string& unit : root.list("/etc/systemd/system/" + folder)) {
            enabled.insert(unit);
            // An enabled unit that is not there would be a failed boot.
            const std::string link = (fs::path("/etc/systemd/system") / folder / unit).string();
            EXPECT_NO_THROW((void)root.read_file(link)) << link << " -> " << root.read_link(link).value_or("");
        }
    }
    std::vector<std::string> wanted = of_role.at(GetParam().role);
    wanted.insert(wanted.end(), {"ssh.service", "systemd-networkd.service", "systemd-resolved.service",
                                 "systemd-timesyncd.service", "makina-ssh-host-keys.service"});
    for (const std::string& unit : wanted) EXPECT_EQ(enabled.count(unit), 1U) << unit;
    for (const char* const mask : {"swap.target", "dphys-swapfile.service"}) {
        EXPECT_EQ(root.read_link(std::string("/etc/systemd/system/") + mask), "/dev/null") << mask;
    }
}

TEST_P(Installed, CarriesNothingThatEveryNodeMustHaveOfItsOwn) {
    for (const std::string& name : root.list("/etc/ssh")) EXPECT_NE(name.rfind("ssh_host_", 0), 0U) << name;
    EXPECT_EQ(root.read_file("/etc/machine-id"), "");
    EXPECT_FALSE(root.stat("/var/lib/systemd/random-seed"));
    EXPECT_FALSE(root.stat("/var/lib/dbus/machine-id"));
    EXPECT_EQ(root.list("/var/lib/apt/lists"), (std::vector<std::string>{"partial"}));
}

INSTANTIATE_TEST_SUITE_P(On, Installed, testing::ValuesIn(subjects()), [](const auto& subject) {
    std::string name = subject.param.role;
    std::replace(name.begin(), name.end(), '-', '_');
    return name;
});

}  // namespace
}  // namespace makina::images
