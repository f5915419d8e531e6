#include "builder/base/dependencies.hpp"

#include <algorithm>
#include <sstream>

#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::string trimmed(const std::string& text) {
    const auto begin = text.find_first_not_of(" \t\n");
    if (begin == std::string::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1);
}

std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, at);) {
        if (part = trimmed(part); !part.empty()) parts.push_back(part);
    }
    return parts;
}

/// "cri-tools:any (>= 1.30)" taken apart.
struct Relation {
    std::string name;
    std::string operation;  ///< "<<", "<=", "=", ">=", ">>", or empty for any version
    std::string version;
};

Relation parse_relation(const std::string& text) {
    Relation relation;
    relation.name = text.substr(0, text.find_first_of(" \t(:["));
    const auto open = text.find('(');
    if (open == std::string::npos) return relation;
    const std::string inside = trimmed(text.substr(open + 1, text.find(')', open) - open - 1));
    const auto end = std::min(inside.find_first_not_of("<=>"), inside.size());
    relation.operation = inside.substr(0, end);
    relation.version = trimmed(inside.substr(end));
    return relation;
}

bool compare_versions(const std::string& a, const std::string& operation, const std::string& b) {
    const Result result = run({{"dpkg", "--compare-versions", a, operation, b}});
    if (result.status > 1) throw Error("dpkg cannot compare the versions " + a + " and " + b + ": " + result.errors);
    return result.status == 0;
}

}  // namespace

std::map<std::string, std::string> control_fields(const std::string& paragraph) {
    std::map<std::string, std::string> fields;
    std::string name;
    std::istringstream lines(paragraph);
    for (std::string line; std::getline(lines, line);) {
        if (line.empty()) continue;
        const bool goes_on = line.front() == ' ' || line.front() == '\t';
        const auto colon = line.find(':');
        if (goes_on) {
            fields[name] += "\n" + trimmed(line);
        } else if (colon != std::string::npos) {
            name = line.substr(0, colon);
            fields[name] = trimmed(line.substr(colon + 1));
        }
    }
    return fields;
}

std::vector<std::string> control_paragraphs(const std::string& file) {
    std::vector<std::string> paragraphs;
    std::string paragraph;
    std::istringstream lines(file);
    for (std::string line; std::getline(lines, line);) {
        if (!line.empty()) {
            paragraph += line + "\n";
        } else if (!paragraph.empty()) {
            paragraphs.push_back(std::move(paragraph));
            paragraph.clear();
        }
    }
    if (!paragraph.empty()) paragraphs.push_back(std::move(paragraph));
    return paragraphs;
}

bool is_newer(const std::string& a, const std::string& b) {
    return compare_versions(a, "gt", b);
}

void PackageSet::add(const std::string& paragraph) {
    const auto fields = control_fields(paragraph);
    const auto value = [&](const char* name) {
        const auto found = fields.find(name);
        return found == fields.end() ? std::string() : found->second;
    };
    versions_[value("Package")].push_back(value("Version"));
    for (const std::string& provided : split(value("Provides"), ',')) {
        const Relation relation = parse_relation(provided);
        // What is provided without a version satisfies only who asks for none (Debian policy 7.5).
        versions_[relation.name].push_back(relation.version.empty() ? "none" : relation.version);
    }
}

bool PackageSet::satisfies(const std::string& alternative) const {
    const Relation relation = parse_relation(alternative);
    const auto found = versions_.find(relation.name);
    if (found == versions_.end()) return false;
    return std::any_of(found->second.begin(), found->second.end(), [&](const std::string& version) {
        return relation.operation.empty() || version.empty() ||
               (version != "none" && compare_versions(version, relation.operation, relation.version));
    });
}

std::vector<std::string> PackageSet::unmet(const std::string& paragraph) const {
    const auto fields = control_fields(paragraph);
    std::vector<std::string> result;
    for (const char* name : {"Pre-Depends", "Depends"}) {
        const auto field = fields.find(name);
        if (field == fields.end()) continue;
        for (const std::string& dependency : split(field->second, ',')) {
            const std::vector<std::string> alternatives = split(dependency, '|');
            if (std::none_of(alternatives.begin(), alternatives.end(),
                             [&](const std::string& alternative) { return satisfies(alternative); })) {
                result.push_back(dependency);
            }
        }
    }
    return result;
}

}  // namespace makina
