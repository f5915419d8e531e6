#include "builder/base/install.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <sstream>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr const char* status_file = "/var/lib/dpkg/status";
constexpr const char* info_folder = "/var/lib/dpkg/info";

/// dpkg's status file: what is installed, and every paragraph as it was.
struct Status {
    PackageSet installed;
    std::map<std::string, std::string> versions;  ///< of what is installed
    std::vector<std::string> paragraphs;
};

Status read_status(const Ext4& root) {
    Status status;
    if (!root.stat(status_file)) throw Error(std::string("the image has no ") + status_file + ": no package fits in");
    status.paragraphs = control_paragraphs(root.read_file(status_file));
    for (const std::string& paragraph : status.paragraphs) {
        auto fields = control_fields(paragraph);
        const std::string state = fields["Status"];
        if (state.size() < 10 || state.substr(state.size() - 10) != " installed") continue;
        status.installed.add(paragraph);
        status.versions[fields["Package"]] = fields["Version"];
    }
    return status;
}

/// The package of the image that has a file; empty if none has.
std::string owner_of(const Ext4& root, const std::string& path) {
    for (const std::string& name : root.list(info_folder)) {
        if (name.size() < 5 || name.substr(name.size() - 5) != ".list") continue;
        std::istringstream lines(root.read_file(std::string(info_folder) + "/" + name));
        for (std::string line; std::getline(lines, line);) {
            if (merged_path(line) == path) return name.substr(0, name.size() - 5);
        }
    }
    return {};
}

/// Packages that are not in the image yet, unpacked into it.
class ImageRoot {
  public:
    ImageRoot(Ext4& root, Status& status) : root_(root), status_(status) {}

    void unpack(const Deb& deb) {
        const std::string& name = deb.package.name;
        const auto place = [&](const PackedFile& file, const std::string& content) { put(name, file, content); };
        InstalledPackage package = unpack_package(deb, {[](const std::string&) { return true; }, place});
        package.hold = true;
        // What dpkg may remember of an earlier, removed installation.
        auto& paragraphs = status_.paragraphs;
        paragraphs.erase(
            std::remove_if(paragraphs.begin(), paragraphs.end(),
                           [&](const std::string& text) { return control_fields(text)["Package"] == name; }),
            paragraphs.end());
        paragraphs.push_back(status_paragraph(package));
        records_.push_back(std::move(package));
    }

    void write_records(std::int64_t time) {
        for (const InstalledPackage& package : records_) {
            for (const File& file : package_records(package)) {
                root_.write({file.path, S_IFREG | file.mode, 0, 0, time, file.content, 0, 0, {}});
            }
        }
        std::string text;
        for (const std::string& paragraph : status_.paragraphs) text += paragraph + "\n";
        root_.write({status_file, S_IFREG | 0644, 0, 0, time, text, 0, 0, {}});
    }

  private:
    void put(const std::string& package, const PackedFile& file, const std::string& content) {
        const auto there = root_.stat(file.path);
        // A link to a folder stays as well: dpkg keeps what the administrator moved elsewhere.
        if (there && S_ISDIR(file.mode) && (S_ISDIR(there->mode) || S_ISLNK(there->mode))) return;
        if (there && written_.count(file.path) == 0) {
            if (const std::string owner = owner_of(root_, file.path); !owner.empty()) {
                throw Error("the packages " + package + " and " + owner + " of the image both have " + file.path);
            }
        }
        if (there && S_ISDIR(there->mode)) throw Error(file.path + " of " + package + " is a folder in the image");
        if (!written_.insert(file.path).second) throw Error("two packages have " + file.path);
        if (!file.hard_link.empty()) {
            root_.remove(file.path);
            root_.hard_link(file.hard_link, file.path);
            return;
        }
        root_.write({file.path, file.mode, file.uid, file.gid, file.mtime, S_ISLNK(file.mode) ? file.target : content,
                     file.device_major, file.device_minor, file.xattrs});
    }

    Ext4& root_;
    Status& status_;
    std::set<std::string> written_;
    std::vector<InstalledPackage> records_;
};

}  // namespace

InstalledPackage unpack_package(const Deb& deb, const Unpacking& unpacking) {
    InstalledPackage installed;
    installed.package = deb.package;
    installed.control = read_control(deb.file);
    std::set<std::string> conffiles;
    if (const auto list = installed.control.find("conffiles"); list != installed.control.end()) {
        std::istringstream lines(list->second);
        const std::string retired = "remove-on-upgrade ";
        for (std::string line; std::getline(lines, line);) {
            conffiles.insert(line);
            if (line.rfind(retired, 0) == 0) {
                installed.conffiles[line.substr(retired.size())] = "newconffile remove-on-upgrade";
            }
        }
    }
    std::string sums;
    visit_deb(deb.file, [&](const PackedFile& file, const Content& content) {
        installed.paths.push_back(file.path);
        if (!unpacking.wanted(file.path)) return;
        const std::string bytes = S_ISREG(file.mode) && file.hard_link.empty() ? content() : std::string();
        const bool conffile = conffiles.count(file.path) != 0;
        if (conffile) installed.conffiles[file.path] = md5(bytes);
        if (!conffile && S_ISREG(file.mode) && file.hard_link.empty()) {
            sums += md5(bytes) + "  " + file.path.substr(1) + "\n";
        }
        unpacking.place(file, bytes);
    });
    // dpkg makes the sums itself for a package that comes without, or its audit would call it broken.
    installed.control.try_emplace("md5sums", sums);
    return installed;
}

std::int64_t deb_time(const std::filesystem::path& deb) {
    std::ifstream file(deb, std::ios::binary);
    std::array<char, 13> date{};
    file.seekg(24);
    if (!file.read(date.data(), 12)) throw Error(deb.string() + " is not a Debian package");
    return std::strtoll(date.data(), nullptr, 10);
}

std::uint64_t installed_kib(const std::string& control) {
    const auto at = control.find("\nInstalled-Size:");
    return at == std::string::npos ? 0 : std::strtoull(control.c_str() + at + 16, nullptr, 10);
}

void require_dependencies(const std::vector<Deb>& debs, PackageSet there) {
    std::vector<std::string> controls;
    controls.reserve(debs.size());
    for (const Deb& deb : debs) controls.push_back(read_control(deb.file).at("control"));
    for (const std::string& control : controls) there.add(control);
    std::string missing;
    for (std::size_t i = 0; i < debs.size(); ++i) {
        for (const std::string& dependency : there.unmet(controls[i])) {
            missing += (missing.empty() ? "" : "; ") + debs[i].package.name + " needs " + dependency;
        }
    }
    if (!missing.empty()) {
        throw Error("the base lacks what the packages of Kubernetes depend on: " + missing +
                    "; add it to the role's packages in the profile");
    }
}

void install_debs(Ext4& root, const std::vector<Deb>& debs, const std::vector<std::string>& later) {
    Status status = read_status(root);
    std::int64_t time = root.stat(status_file)->mtime;
    std::vector<Deb> absent;
    for (const Deb& deb : debs) {
        const auto found = status.versions.find(deb.package.name);
        if (found == status.versions.end()) {
            absent.push_back(deb);
            time = std::max(time, deb_time(deb.file));
        } else if (found->second != deb.package.version) {
            throw Error("the image has " + deb.package.name + " " + found->second + " already, but " +
                        deb.package.version + " is wanted: take an image without it, or that version");
        }
    }
    if (absent.empty()) return;
    PackageSet there = status.installed;
    for (const std::string& name : later) there.add_name(name.substr(0, name.find('=')));
    require_dependencies(absent, std::move(there));
    ImageRoot image(root, status);
    for (const Deb& deb : absent) image.unpack(deb);
    image.write_records(time);
}

}  // namespace makina
