#pragma once

#include <map>
#include <set>
#include <string>

namespace makina::kubeadm_types {

// What kubeadm accepts: the json tags of the structs in kubernetes/kubernetes,
// cmd/kubeadm/app/apis/kubeadm/<version>/types.go, as published for v1beta1 (1.13), v1beta2 (1.15), v1beta3 (1.22) and
// v1beta4 (1.31), of BootstrapToken in cmd/kubeadm/app/apis/bootstraptoken/v1/types.go, of Taint and EnvVar (its name
// and value) in staging/src/k8s.io/api/core/v1/types.go, and of KubeletConfiguration in
// staging/src/k8s.io/kubelet/config/v1beta1/types.go as far as we write it. kubeadm decodes strictly: a field that is
// not here is an error there. What came into a version later than its first release is left out, since that refuses it.
// A field's type: "string" (durations too), "int", "bool", "{string}" and "{bool}" maps of them, else a struct;
// "[]TYPE" is a list.
using Struct = std::map<std::string, std::string>;
using Types = std::map<std::string, Struct>;

inline Types v1beta1() {
    return {
        {"InitConfiguration",
         {{"apiVersion", "string"},
          {"kind", "string"},
          {"bootstrapTokens", "[]BootstrapToken"},
          {"nodeRegistration", "NodeRegistration"},
          {"localAPIEndpoint", "APIEndpoint"}}},
        {"ClusterConfiguration",
         {{"apiVersion", "string"},
          {"kind", "string"},
          {"etcd", "Etcd"},
          {"networking", "Networking"},
          {"kubernetesVersion", "string"},
          {"controlPlaneEndpoint", "string"},
          {"apiServer", "APIServer"},
          {"controllerManager", "Component"},
          {"scheduler", "Component"},
          {"dns", "DNS"},
          {"certificatesDir", "string"},
          {"imageRepository", "string"},
          {"useHyperKubeImage", "bool"},
          {"featureGates", "{bool}"},
          {"clusterName", "string"}}},
        {"JoinConfiguration",
         {{"apiVersion", "string"},
          {"kind", "string"},
          {"nodeRegistration", "NodeRegistration"},
          {"caCertPath", "string"},
          {"discovery", "Discovery"},
          {"controlPlane", "JoinControlPlane"}}},
        {"BootstrapToken",
         {{"token", "string"},
          {"description", "string"},
          {"ttl", "string"},
          {"expires", "string"},
          {"usages", "[]string"},
          {"groups", "[]string"}}},
        {"NodeRegistration",
         {{"name", "string"}, {"criSocket", "string"}, {"taints", "[]Taint"}, {"kubeletExtraArgs", "{string}"}}},
        {"Taint", {{"key", "string"}, {"value", "string"}, {"effect", "string"}, {"timeAdded", "string"}}},
        {"APIEndpoint", {{"advertiseAddress", "string"}, {"bindPort", "int"}}},
        {"JoinControlPlane", {{"localAPIEndpoint", "APIEndpoint"}}},
        {"Discovery",
         {{"bootstrapToken", "BootstrapTokenDiscovery"},
          {"file", "FileDiscovery"},
          {"tlsBootstrapToken", "string"},
          {"timeout", "string"}}},
        {"FileDiscovery", {{"kubeConfigPath", "string"}}},
        {"BootstrapTokenDiscovery",
         {{"token", "string"},
          {"apiServerEndpoint", "string"},
          {"caCertHashes", "[]string"},
          {"unsafeSkipCAVerification", "bool"}}},
        {"Networking", {{"serviceSubnet", "string"}, {"podSubnet", "string"}, {"dnsDomain", "string"}}},
        {"Component", {{"extraArgs", "{string}"}, {"extraVolumes", "[]HostPathMount"}}},
        {"HostPathMount",
         {{"name", "string"},
          {"hostPath", "string"},
          {"mountPath", "string"},
          {"readOnly", "bool"},
          {"pathType", "string"}}},
        {"APIServer",
         {{"extraArgs", "{string}"},
          {"extraVolumes", "[]HostPathMount"},
          {"certSANs", "[]string"},
          {"timeoutForControlPlane", "string"}}},
        {"DNS", {{"type", "string"}, {"imageRepository", "string"}, {"imageTag", "string"}}},
        {"Etcd", {{"local", "LocalEtcd"}, {"external", "ExternalEtcd"}}},
        {"LocalEtcd",
         {{"imageRepository", "string"},
          {"imageTag", "string"},
          {"dataDir", "string"},
          {"extraArgs", "{string}"},
          {"serverCertSANs", "[]string"},
          {"peerCertSANs", "[]string"}}},
        {"ExternalEtcd",
         {{"endpoints", "[]string"}, {"caFile", "string"}, {"certFile", "string"}, {"keyFile", "string"}}},
        {"KubeletConfiguration",
         {{"apiVersion", "string"},
          {"kind", "string"},
          {"cgroupDriver", "string"},
          {"failSwapOn", "bool"},
          {"resolvConf", "string"},
          {"containerLogMaxSize", "string"},
          {"containerLogMaxFiles", "int"}}},
    };
}

inline Types v1beta2() {
    Types types = v1beta1();
    types["InitConfiguration"]["certificateKey"] = "string";
    types["JoinControlPlane"]["certificateKey"] = "string";
    types["NodeRegistration"]["ignorePreflightErrors"] = "[]string";
    return types;
}

inline Types v1beta3() {
    Types types = v1beta2();
    for (const char* kind : {"InitConfiguration", "JoinConfiguration"}) {
        types[kind]["skipPhases"] = "[]string";
        types[kind]["patches"] = "Patches";
    }
    types["Patches"] = {{"directory", "string"}};
    types["NodeRegistration"]["imagePullPolicy"] = "string";
    types["ClusterConfiguration"].erase("useHyperKubeImage");
    types["DNS"].erase("type");
    return types;
}

inline Types v1beta4() {
    Types types = v1beta3();
    for (const char* kind : {"InitConfiguration", "JoinConfiguration"}) {
        types[kind]["dryRun"] = "bool";
        types[kind]["timeouts"] = "Timeouts";
    }
    types["ResetConfiguration"] = {{"apiVersion", "string"},   {"kind", "string"},
                                   {"cleanupTmpDir", "bool"},  {"certificatesDir", "string"},
                                   {"criSocket", "string"},    {"dryRun", "bool"},
                                   {"force", "bool"},          {"ignorePreflightErrors", "[]string"},
                                   {"skipPhases", "[]string"}, {"unmountFlags", "[]string"},
                                   {"timeouts", "Timeouts"}};
    types["Timeouts"] = {{"controlPlaneComponentHealthCheck", "string"},
                         {"kubeletHealthCheck", "string"},
                         {"kubernetesAPICall", "string"},
                         {"etcdAPICall", "string"},
                         {"tlsBootstrap", "string"},
                         {"discovery", "string"},
                         {"upgradeManifests", "string"}};
    types["Arg"] = {{"name", "string"}, {"value", "string"}};
    types["EnvVar"] = {{"name", "string"}, {"value", "string"}};
    types["NodeRegistration"]["kubeletExtraArgs"] = "[]Arg";
    types["NodeRegistration"]["imagePullSerial"] = "bool";
    types["Discovery"].erase("timeout");
    types["APIServer"].erase("timeoutForControlPlane");
    for (const char* kind : {"APIServer", "Component", "LocalEtcd"}) {
        types[kind]["extraArgs"] = "[]Arg";
        types[kind]["extraEnvs"] = "[]EnvVar";
    }
    for (const char* field : {"encryptionAlgorithm", "certificateValidityPeriod", "caCertificateValidityPeriod"}) {
        types["ClusterConfiguration"][field] = "string";
    }
    types["ClusterConfiguration"]["proxy"] = "Proxy";
    types["Proxy"] = {{"disabled", "bool"}};
    types["DNS"]["disabled"] = "bool";
    return types;
}

/// The fields without which a struct says nothing, in every version: those that are not marked as optional there.
inline std::map<std::string, std::set<std::string>> required() {
    return {{"InitConfiguration", {"apiVersion", "kind"}},
            {"ClusterConfiguration", {"apiVersion", "kind"}},
            {"JoinConfiguration", {"apiVersion", "kind", "discovery"}},
            {"KubeletConfiguration", {"apiVersion", "kind"}},
            {"ResetConfiguration", {"apiVersion", "kind"}},
            {"BootstrapToken", {"token"}},
            {"BootstrapTokenDiscovery", {"token"}},
            {"FileDiscovery", {"kubeConfigPath"}},
            {"LocalEtcd", {"dataDir"}},
            {"ExternalEtcd", {"endpoints", "caFile", "certFile", "keyFile"}},
            {"HostPathMount", {"name", "hostPath", "mountPath"}},
            {"Taint", {"key", "effect"}},
            {"Arg", {"name", "value"}},
            {"EnvVar", {"name"}}};
}

}  // namespace makina::kubeadm_types
