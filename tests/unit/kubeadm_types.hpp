#pragma once

#include <map>
#include <string>

namespace makina::kubeadm_types {

// What kubeadm accepts: the json tags of the structs in kubernetes/kubernetes,
// cmd/kubeadm/app/apis/kubeadm/<version>/types.go, as published for v1beta1 (1.13), v1beta2 (1.15), v1beta3 (1.22) and
// v1beta4 (1.31), and of KubeletConfiguration in staging/src/k8s.io/kubelet/config/v1beta1/types.go as far as we write
// it. kubeadm decodes strictly: a field that is not here is an error there.
// A field's type: "" a scalar, "[]" a list of scalars, "{}" a map of strings, else a struct, "[]Struct" a list of them.
using Struct = std::map<std::string, std::string>;
using Types = std::map<std::string, Struct>;

inline Types v1beta1() {
    return {
        {"InitConfiguration",
         {{"apiVersion", ""},
          {"kind", ""},
          {"bootstrapTokens", "[]BootstrapToken"},
          {"nodeRegistration", "NodeRegistration"},
          {"localAPIEndpoint", "APIEndpoint"}}},
        {"ClusterConfiguration",
         {{"apiVersion", ""},
          {"kind", ""},
          {"etcd", "Etcd"},
          {"networking", "Networking"},
          {"kubernetesVersion", ""},
          {"controlPlaneEndpoint", ""},
          {"apiServer", "APIServer"},
          {"controllerManager", "Component"},
          {"scheduler", "Component"},
          {"dns", "DNS"},
          {"certificatesDir", ""},
          {"imageRepository", ""},
          {"useHyperKubeImage", ""},
          {"featureGates", "{}"},
          {"clusterName", ""}}},
        {"JoinConfiguration",
         {{"apiVersion", ""},
          {"kind", ""},
          {"nodeRegistration", "NodeRegistration"},
          {"caCertPath", ""},
          {"discovery", "Discovery"},
          {"controlPlane", "JoinControlPlane"}}},
        {"NodeRegistration", {{"name", ""}, {"criSocket", ""}, {"taints", "[]Taint"}, {"kubeletExtraArgs", "{}"}}},
        {"Taint", {{"key", ""}, {"value", ""}, {"effect", ""}, {"timeAdded", ""}}},
        {"APIEndpoint", {{"advertiseAddress", ""}, {"bindPort", ""}}},
        {"JoinControlPlane", {{"localAPIEndpoint", "APIEndpoint"}}},
        {"Discovery",
         {{"bootstrapToken", "BootstrapTokenDiscovery"},
          {"file", "FileDiscovery"},
          {"tlsBootstrapToken", ""},
          {"timeout", ""}}},
        {"FileDiscovery", {{"kubeConfigPath", ""}}},
        {"BootstrapTokenDiscovery",
         {{"token", ""}, {"apiServerEndpoint", ""}, {"caCertHashes", "[]"}, {"unsafeSkipCAVerification", ""}}},
        {"Networking", {{"serviceSubnet", ""}, {"podSubnet", ""}, {"dnsDomain", ""}}},
        {"Component", {{"extraArgs", "{}"}, {"extraVolumes", "[]HostPathMount"}}},
        {"APIServer",
         {{"extraArgs", "{}"},
          {"extraVolumes", "[]HostPathMount"},
          {"certSANs", "[]"},
          {"timeoutForControlPlane", ""}}},
        {"DNS", {{"type", ""}, {"imageRepository", ""}, {"imageTag", ""}}},
        {"Etcd", {{"local", "LocalEtcd"}, {"external", "ExternalEtcd"}}},
        {"LocalEtcd",
         {{"imageRepository", ""},
          {"imageTag", ""},
          {"dataDir", ""},
          {"extraArgs", "{}"},
          {"serverCertSANs", "[]"},
          {"peerCertSANs", "[]"}}},
        {"ExternalEtcd", {{"endpoints", "[]"}, {"caFile", ""}, {"certFile", ""}, {"keyFile", ""}}},
        {"KubeletConfiguration",
         {{"apiVersion", ""},
          {"kind", ""},
          {"cgroupDriver", ""},
          {"failSwapOn", ""},
          {"resolvConf", ""},
          {"containerLogMaxSize", ""},
          {"containerLogMaxFiles", ""}}},
    };
}

inline Types v1beta2() {
    Types types = v1beta1();
    types["InitConfiguration"]["certificateKey"] = "";
    types["JoinControlPlane"]["certificateKey"] = "";
    types["NodeRegistration"]["ignorePreflightErrors"] = "[]";
    return types;
}

inline Types v1beta3() {
    Types types = v1beta2();
    for (const char* kind : {"InitConfiguration", "JoinConfiguration"}) {
        types[kind]["skipPhases"] = "[]";
        types[kind]["patches"] = "Patches";
    }
    types["Patches"] = {{"directory", ""}};
    types["NodeRegistration"]["imagePullPolicy"] = "";
    types["ClusterConfiguration"].erase("useHyperKubeImage");
    types["DNS"].erase("type");
    return types;
}

inline Types v1beta4() {
    Types types = v1beta3();
    for (const char* kind : {"InitConfiguration", "JoinConfiguration"}) {
        types[kind]["dryRun"] = "";
        types[kind]["timeouts"] = "Timeouts";
    }
    types["Timeouts"] = {{"controlPlaneComponentHealthCheck", ""},
                         {"kubeletHealthCheck", ""},
                         {"kubernetesAPICall", ""},
                         {"etcdAPICall", ""},
                         {"tlsBootstrap", ""},
                         {"discovery", ""},
                         {"upgradeManifests", ""}};
    types["Arg"] = {{"name", ""}, {"value", ""}};
    types["NodeRegistration"]["kubeletExtraArgs"] = "[]Arg";
    types["NodeRegistration"]["imagePullSerial"] = "";
    types["Discovery"].erase("timeout");
    types["APIServer"].erase("timeoutForControlPlane");
    for (const char* kind : {"APIServer", "Component", "LocalEtcd"}) {
        types[kind]["extraArgs"] = "[]Arg";
        types[kind]["extraEnvs"] = "[]EnvVar";
    }
    for (const char* field : {"encryptionAlgorithm", "certificateValidityPeriod", "caCertificateValidityPeriod"}) {
        types["ClusterConfiguration"][field] = "";
    }
    types["ClusterConfiguration"]["proxy"] = "Proxy";
    types["Proxy"] = {{"disabled", ""}};
    types["DNS"]["disabled"] = "";
    return types;
}

}  // namespace makina::kubeadm_types
