#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <regex>

#include "builder/profile/profile.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/kubeadm_types.hpp"
#include "tests/unit/plans.hpp"

namespace makina {
namespace {

// The configuration that images carry for kubeadm, as each version of it decodes what it is given: strictly.

using plans::content;
using plans::plan_of;
using testing::Contains;
using testing::IsEmpty;

/// Looks at a document field by field, and keeps what kubeadm would complain of.
class FieldCheck {
  public:
    explicit FieldCheck(const kubeadm_types::Types& types) : types_(types) {}

    void look(const YAML::Node& node, const std::string& type, const std::string& where);
    [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }

  private:
    void look_at_scalar(const YAML::Node& node, const std::string& type, const std::string& where);
    void look_at_struct(const YAML::Node& node, const std::string& type, const std::string& where);
    void complain(const std::string& where, const std::string& what) { complaints_.push_back(where + " " + what); }

    const kubeadm_types::Types& types_;
    std::vector<std::string> complaints_;
};

bool is_scalar(const std::string& type) {
    return type == "string" || type == "int" || type == "bool";
}

void FieldCheck::look(const YAML::Node& node, const std::string& type, const std::string& where) {
    if (is_scalar(type)) return look_at_scalar(node, type, where);
    if (type.front() == '{') {
        if (!node.IsMap()) return complain(where, "must be a map");
        for (const auto& each : node) {
            look(each.second, type.substr(1, type.size() - 2), where + "." + each.first.as<std::string>());
        }
    } else if (type.front() == '[') {
        if (!node.IsSequence()) return complain(where, "must be a list");
        for (const YAML::Node& each : node) look(each, type.substr(2), where + "[]");
    } else {
        look_at_struct(node, type, where);
    }
}

/// A text that YAML would take for something else has to be quoted: a number is no string to kubeadm, nor the reverse.
void FieldCheck::look_at_scalar(const YAML::Node& node, const std::string& type, const std::string& where) {
    static const std::regex number("[-+]?[0-9][0-9_]*([.][0-9]*)?([eE][-+]?[0-9]+)?|0x[0-9a-fA-F]+|[-+]?[.]inf|[.]nan",
                                   std::regex::icase);
    static const std::regex truth("true|false|yes|no|on|off|y|n", std::regex::icase);
    if (!node.IsScalar()) return complain(where, "must be a " + type);
    const bool quoted = node.Tag() == "!";
    const std::string& text = node.Scalar();
    const char* const is = quoted                           ? "string"
                           : std::regex_match(text, number) ? "int"
                           : std::regex_match(text, truth)  ? "bool"
                                                            : "string";
    if (type != is) complain(where, "must be a " + type + ", not " + text);
}

void FieldCheck::look_at_struct(const YAML::Node& node, const std::string& type, const std::string& where) {
    if (!node.IsMap()) return complain(where, "must have fields");
    const kubeadm_types::Struct& fields = types_.at(type);
    for (const auto& each : node) {
        const auto name = each.first.as<std::string>();
        const auto found = fields.find(name);
        if (found == fields.end()) {
            complain(where, "has no field " + name);
        } else {
            look(each.second, found->second, std::string(where).append(".").append(name));
        }
    }
    static const auto required = kubeadm_types::required();
    const auto wanted = required.find(type);
    if (wanted == required.end()) return;
    for (const std::string& name : wanted->second) {
        if (!node[name]) complain(where, "needs " + name);
    }
}

struct Dialect {
    Version version;
    std::string api;
    kubeadm_types::Types types;
};

std::vector<Dialect> dialects() {
    std::vector<Dialect> all = {{{1, 13, 5}, "v1beta1", kubeadm_types::v1beta1()},
                                {{1, 14, 0}, "v1beta1", kubeadm_types::v1beta1()},
                                {{1, 15, 0}, "v1beta2", kubeadm_types::v1beta2()},
                                {{1, 19, 4}, "v1beta2", kubeadm_types::v1beta2()},
                                {{1, 21, 14}, "v1beta2", kubeadm_types::v1beta2()}};
    for (int minor = 22; minor <= 30; ++minor) all.push_back({{1, minor, 1}, "v1beta3", kubeadm_types::v1beta3()});
    for (int minor = 31; minor <= 36; ++minor) all.push_back({{1, minor, 1}, "v1beta4", kubeadm_types::v1beta4()});
    return all;
}

/// Everything that is wrong in a file of kubeadm's, for this version.
std::vector<std::string> wrong_in(const std::string& text, const Dialect& dialect) {
    FieldCheck check(dialect.types);
    std::vector<std::string> wrong;
    for (const YAML::Node& document : YAML::LoadAll(text)) {
        const auto kind = document["kind"].as<std::string>();
        check.look(document, kind, kind);
        const std::string wanted =
            kind == "KubeletConfiguration" ? "kubelet.config.k8s.io/v1beta1" : "kubeadm.k8s.io/" + dialect.api;
        if (document["apiVersion"].as<std::string>() != wanted) wrong.push_back(kind + " must be of " + wanted);
    }
    wrong.insert(wrong.end(), check.complaints().begin(), check.complaints().end());
    return wrong;
}

/// The clusters of the sources, with everything that a node can have, and every profile that we ship.
std::vector<Profile> every_profile() {
    std::vector<Profile> all = {clusters::pair(), clusters::external_etcd(), clusters::static_pods(),
                                clusters::single()};
    for (Profile& profile : all) {
        for (Node& node : profile.nodes) {
            node.hardware = Hardware::rpi3;
            node.labels = {{"zone", "shelf"}, {"topology.kubernetes.io/zone", "home"}, {"number", "1"}};
            node.taints = {"only=this:NoExecute", "count=1:NoSchedule", "on:NoSchedule"};
        }
    }
    for (const auto& file : std::filesystem::directory_iterator(MAKINA_SOURCE "/profiles")) {
        if (file.path().extension() != ".yaml") continue;
        const ProfileReading reading = read_profile(file.path());
        EXPECT_TRUE(reading.profile) << file.path();
        if (reading.profile) all.push_back(*reading.profile);
    }
    return all;
}

constexpr const char* folder = "/etc/kubernetes/makina/";

TEST(KubeadmConfiguration, HasOnlyFieldsThatItsVersionKnowsWithWhatTheyMustBe) {
    int files = 0;
    for (Profile profile : every_profile()) {
        for (const Dialect& dialect : dialects()) {
            profile.kubernetes.version = dialect.version;
            for (const Node& node : profile.nodes) {
                if (node.role != Role::control_plane && node.role != Role::worker) continue;
                const ImagePlan plan = plan_of(profile, node.name);
                for (const char* const name : {"init.yaml", "join.yaml"}) {
                    const File* const file = plan.files.find(std::string(folder) + name);
                    if (file == nullptr) continue;
                    ++files;
                    EXPECT_THAT(wrong_in(file->content, dialect), IsEmpty())
                        << profile.name << " " << node.name << " " << name << " " << to_string(dialect.version);
                }
            }
        }
    }
    EXPECT_GT(files, 500);
}

/// One change in a good file, and what kubeadm of this version would say to it.
struct Mistake {
    Version version;
    const char* file;
    const char* good;
    const char* bad;
    const char* complaint;
};

const Mistake mistakes[] = {
    {{1, 34, 1},
     "init.yaml",
     "bindPort: 6443",
     "bindPort: \"6443\"",
     "localAPIEndpoint.bindPort must be a int, not 6443"},
    {{1, 34, 1}, "init.yaml", "bindPort: 6443", "bindport: 6443", "localAPIEndpoint has no field bindport"},
    {{1, 34, 1}, "init.yaml", "failSwapOn: true", "failSwapOn: \"true\"", "failSwapOn must be a bool, not true"},
    {{1, 34, 1},
     "init.yaml",
     "containerLogMaxSize: 5Mi",
     "containerLogMaxSize: 5",
     "containerLogMaxSize must be a string, not 5"},
    {{1, 34, 1}, "init.yaml", "dataDir: /var/lib/etcd", "imageTag: \"3\"", "etcd.local needs dataDir"},
    {{1, 34, 1}, "init.yaml", "timeouts:", "timeout:", "InitConfiguration has no field timeout"},
    {{1, 34, 1}, "init.yaml", "kubeadm.k8s.io/v1beta4", "kubeadm.k8s.io/v1beta3", "must be of kubeadm.k8s.io/v1beta4"},
    {{1, 34, 1}, "join.yaml", "kubeConfigPath:", "path:", "discovery.file needs kubeConfigPath"},
    {{1, 34, 1}, "join.yaml", "discovery:", "discover:", "JoinConfiguration needs discovery"},
    {{1, 34, 1}, "join.yaml", "taints:", "tains:", "nodeRegistration has no field tains"},
    {{1, 34, 1}, "join.yaml", "effect:", "affect:", "taints[] needs effect"},
    {{1, 34, 1}, "init.yaml", "certSANs:\n", "certSANs:\n    - 1\n", "apiServer.certSANs[] must be a string, not 1"},
    {{1, 30, 1},
     "init.yaml",
     "apiServer:\n",
     "apiServer:\n  extraArgs:\n    - {name: v, value: \"5\"}\n",
     "apiServer.extraArgs must be a map"},
    {{1, 31, 1},
     "init.yaml",
     "apiServer:\n",
     "apiServer:\n  extraArgs: {v: \"5\"}\n",
     "apiServer.extraArgs must be a list"},
    {{1, 30, 1},
     "init.yaml",
     "apiServer:\n",
     "apiServer:\n  extraArgs: {v: 5}\n",
     "apiServer.extraArgs.v must be a string, not 5"},
    {{1, 31, 1},
     "init.yaml",
     "apiServer:\n",
     "apiServer:\n  timeoutForControlPlane: 10m0s\n",
     "apiServer has no field timeoutForControlPlane"},
    {{1, 30, 1}, "join.yaml", "discovery:", "timeouts: {}\ndiscovery:", "JoinConfiguration has no field timeouts"},
};

TEST(KubeadmConfiguration, AnyMistakeInItIsFound) {
    Profile profile = every_profile().front();
    for (const Mistake& mistake : mistakes) {
        profile.kubernetes.version = mistake.version;
        std::string text = content(plan_of(profile, "master-1"), std::string(folder) + mistake.file);
        const std::size_t at = text.find(mistake.good);
        ASSERT_NE(at, text.npos) << mistake.good;
        text.replace(at, std::string(mistake.good).size(), mistake.bad);
        const auto all = dialects();
        const auto dialect = std::ranges::find(all, mistake.version, &Dialect::version);
        ASSERT_NE(dialect, all.end());
        EXPECT_THAT(wrong_in(text, *dialect), Contains(testing::HasSubstr(mistake.complaint))) << mistake.bad;
    }
}

}  // namespace
}  // namespace makina
