#include "builder/base/database.hpp"

#include <sstream>
#include <utility>

namespace makina {
namespace {

std::string field(const std::string& control, const std::string& name) {
    std::istringstream lines(control);
    for (std::string line; std::getline(lines, line);) {
        if (line.rfind(name + ":", 0) == 0) {
            const auto begin = line.find_first_not_of(" \t", name.size() + 1);
            return begin == std::string::npos ? std::string() : line.substr(begin);
        }
    }
    return {};
}

File record(const std::string& path, std::string content, std::uint32_t mode = 0644) {
    return {path, FileKind::regular, mode, "root", "root", std::move(content), "package database"};
}

}  // namespace

std::string record_name(const InstalledPackage& package) {
    const bool same = field(package.control.at("control"), "Multi-Arch") == "same";
    return package.package.name + (same ? ":" + package.package.architecture : std::string());
}

std::string status_paragraph(const InstalledPackage& package) {
    std::string conffiles = package.conffiles.empty() ? "" : "Conffiles:\n";
    for (const auto& [path, md5] : package.conffiles) {
        conffiles.append(" ").append(path).append(" ").append(md5).append("\n");
    }
    std::string result;
    std::istringstream lines(package.control.at("control"));
    for (std::string line; std::getline(lines, line);) {
        if (line.empty()) continue;
        // dpkg puts the configuration files before the description, which mostly ends the paragraph.
        if (line.rfind("Description:", 0) == 0) result += std::exchange(conffiles, {});
        result += line + "\n";
        if (line.rfind("Package:", 0) == 0)
            result += std::string("Status: ") + (package.hold ? "hold" : "install") + " ok installed\n";
    }
    return result + conffiles;
}

std::vector<File> package_records(const InstalledPackage& package) {
    std::vector<File> files;
    const std::string prefix = "/var/lib/dpkg/info/" + record_name(package) + ".";
    for (const auto& [name, content] : package.control) {
        const bool script =
            name == "preinst" || name == "postinst" || name == "prerm" || name == "postrm" || name == "config";
        if (name != "control") files.push_back(record(prefix + name, content, script ? 0755 : 0644));
    }
    std::string list = "/.\n";
    for (const std::string& path : package.paths) {
        if (path != "/") list += path + "\n";
    }
    files.push_back(record(prefix + "list", list));
    return files;
}

std::vector<File> package_database(const std::vector<InstalledPackage>& packages, const std::string& architecture) {
    std::vector<File> files;
    std::string status;
    std::string states;
    for (const InstalledPackage& package : packages) {
        status += status_paragraph(package) + "\n";
        const bool essential = field(package.control.at("control"), "Essential") == "yes" ||
                               field(package.control.at("control"), "Priority") == "required";
        if (!package.package.asked && !essential) {
            states +=
                "Package: " + package.package.name + "\nArchitecture: " + architecture + "\nAuto-Installed: 1\n\n";
        }
        for (File& file : package_records(package)) files.push_back(std::move(file));
    }
    files.push_back(record("/var/lib/dpkg/info/format", "1\n"));
    files.push_back(record("/var/lib/dpkg/arch", architecture + "\n"));
    files.push_back(record("/var/lib/dpkg/available", ""));
    files.push_back(record("/var/lib/dpkg/status", status));
    files.push_back(record("/var/lib/apt/extended_states", states));
    return files;
}

}  // namespace makina
