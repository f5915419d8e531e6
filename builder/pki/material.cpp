#include "builder/pki/material.hpp"

#include <algorithm>

#include "builder/pki/envelope.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/lines.hpp"

namespace makina {
namespace {

constexpr std::string_view first_line = "makina-keys 1";
/// A secret under a passphrase: this line, then an envelope in hex.
constexpr std::string_view locked_line = "makina-secret 1\n";

/// What is bound to the envelope, so that one secret cannot stand for another.
std::string kind_of(const std::string& name) {
    return std::string(locked_line) + name;
}

std::string locked(const std::string& name, const std::string& secret, const std::string& passphrase) {
    if (passphrase.empty()) return secret + "\n";
    return std::string(locked_line) + to_hex(put_in_envelope(secret, kind_of(name), passphrase)) + "\n";
}

std::string from_hex(std::string_view text) {
    std::string bytes;
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
        bytes += static_cast<char>(digit(text[i]) << 4 | digit(text[i + 1]));
    }
    return bytes;
}

void put(Files& files, const std::string& name, const Credential& credential, const std::string& passphrase) {
    files[name + ".crt"] = to_pem(credential.certificate);
    files[name + ".key"] = private_pem(credential.key, passphrase);
}

bool is_generation(const std::string& name, std::uint64_t& number) {
    constexpr std::string_view begins = "signing-";
    return name.rfind(begins, 0) == 0 && read_number(std::string_view(name).substr(begins.size()), number);
}

}  // namespace

Files Material::new_generation(const std::string& cluster, unsigned number, const std::string& passphrase,
                               std::int64_t now) {
    Files files;
    const std::string count = std::to_string(number);
    const Credential authority = make_authority(cluster + " bundle signing authority " + count, now);
    put(files, "ca", authority, passphrase);
    const Holder subject{cluster + " bundle signer " + count, "", {}, {}};
    put(files, "signer", make_leaf(subject, Usage::bundle_signer, authority, now), passphrase);
    return files;
}

Files Material::made_new(const std::string& cluster, const std::string& passphrase, std::int64_t now) {
    Files files;
    files["cluster"] = std::string(first_line) + "\ncluster " + cluster + "\nid " + to_hex(secret_bytes(16)) + "\n";
    for (auto& [name, content] : new_generation(cluster, 1, passphrase, now)) {
        files["signing-1/" + name] = std::move(content);
    }
    for (const auto& [name, purpose] : authorities()) {
        put(files, name, make_authority(cluster + " " + name, now), passphrase);
    }
    const Key service_account = make_rsa_2048();
    files["service-account.key"] = private_pem(service_account, passphrase);
    files["service-account.pub"] = public_pem(service_account);
    files["encryption.key"] = locked("encryption.key", to_base64(secret_bytes(32)), passphrase);
    files["revoked"] = "";
    files["ledger"] = "makina-ledger 1\nend\n";
    return files;
}

std::string Material::text(const std::string& name) const {
    return read_private(folder_ / name);
}

Certificate Material::certificate(const std::string& name) const {
    return during((folder_ / (name + ".crt")).string(), [&] { return certificate_from_pem(text(name + ".crt")); });
}

Key Material::key(const std::string& name) const {
    Key& kept = keys_[name];
    if (!kept) {
        kept = during((folder_ / (name + ".key")).string(),
                      [&] { return key_from_pem(text(name + ".key"), passphrase_); });
    }
    return kept;
}

Credential Material::credential(const std::string& name) const {
    Credential credential{certificate(name), key(name)};
    if (!belong_together(credential.certificate, credential.key)) {
        throw Error((folder_ / name).string() + ".crt and .key do not belong together");
    }
    return credential;
}

std::string Material::secret(const std::string& name) const {
    std::string content = text(name);
    const std::string path = (folder_ / name).string();
    if (content.size() < 2 || content.back() != '\n') throw Error(path + " is not a secret on one line");
    content.pop_back();
    if (content.compare(0, locked_line.size(), locked_line) != 0) return content;
    const std::string_view hex = std::string_view(content).substr(locked_line.size());
    if (!is_hex(hex, hex.size()) || hex.size() % 2 != 0) throw Error(path + " is not in lower-case hex digits");
    try {
        return open_envelope(from_hex(hex), kind_of(name), passphrase_);
    } catch (const Untrusted& error) {
        throw Error(path + ": " + error.what());
    }
}

std::vector<Generation> Material::generations() const {
    std::vector<Generation> found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
        std::uint64_t number = 0;
        const std::string name = entry.path().filename();
        if (!is_generation(name, number)) continue;
        found.push_back({static_cast<unsigned>(number), certificate(name + "/ca"), certificate(name + "/signer")});
    }
    if (found.empty()) throw Error(folder_.string() + " has no signing authority: restore it from its backup");
    if (found.size() > 2)
        throw Error(folder_.string() + " has more than two signing authorities: something put them there");
    std::sort(found.begin(), found.end(), [](const Generation& a, const Generation& b) { return a.number < b.number; });
    return found;
}

Files Material::all() const {
    Files files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
        if (entry.is_directory()) continue;
        files[entry.path().lexically_relative(folder_).string()] = read_private(entry.path());
    }
    return files;
}

ClusterFile decode_cluster_file(std::string_view text) {
    Lines lines(text);
    ClusterFile result;
    lines.expect(first_line);
    result.name = lines.label("cluster");
    result.id = lines.hex("id", 32);
    if (!lines.rest().empty()) lines.refuse("something else follows the last line");
    return result;
}

ClusterFile read_cluster_file(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "cluster";
    try {
        return decode_cluster_file(read_private(file, 4096));
    } catch (const Untrusted& error) {
        throw Error(file.string() + ": " + error.what());
    }
}

const std::vector<std::pair<std::string, std::string>>& authorities() {
    static const std::vector<std::pair<std::string, std::string>> all = {
        {"kubernetes-ca", "the API server, kubelets and administrators"},
        {"etcd-ca", "etcd's members and the API server towards them"},
        {"front-proxy-ca", "the API server towards extensions"},
        {"makina-ca", "nodes towards each other"}};
    return all;
}

}  // namespace makina
