#include "builder/commands/snapshot.hpp"

#include <string_view>

#include "builder/commands/cluster.hpp"
#include "builder/read_file.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/encoding.hpp"
#include "firstboot/bundle/snapshot.hpp"

namespace makina {
namespace {

constexpr std::size_t trailer = 32;   // bytes: SHA-256 of all before them (etcd, server/etcdserver/api/v3rpc)
constexpr std::size_t granule = 512;  // bytes: etcd tells a snapshot with its checksum from one without by this
/// go.etcd.io/bbolt, db.go: page 0 has a head of 16 bytes, then the mark 0xED0CDAED and the version 2, little-endian.
constexpr std::string_view bolt_mark("\xed\xda\x0c\xed\x02\0\0\0", 8);
constexpr std::size_t bolt_head = 16;

}  // namespace

Snapshot read_snapshot(const std::filesystem::path& file) {
    std::error_code none;
    if (!std::filesystem::is_regular_file(file, none)) throw Mistake("--restore " + file.string() + ": no such file");
    Snapshot snapshot;
    snapshot.content = read_file(file);
    const std::string_view all = snapshot.content;
    const auto refuse = [&](const std::string& why) { throw Mistake("--restore " + file.string() + ": " + why); };
    if (all.size() < bolt_head + bolt_mark.size() || all.substr(bolt_head, bolt_mark.size()) != bolt_mark) {
        refuse("not a snapshot of etcd: it does not begin as etcd's database");
    }
    if (all.size() % granule != trailer) {
        refuse(
            "the checksum at its end is missing: it was cut off, or is a member's own db file; take one with "
            "etcdctl snapshot save");
    }
    const std::string_view data = all.substr(0, all.size() - trailer);
    if (makina::sha256(data) != to_hex(all.substr(data.size()))) {
        refuse("it was changed: the checksum at its end is that of something else");
    }
    snapshot.sha256 = makina::sha256(all);
    return snapshot;
}

void check_restore(const Profile& profile, const Node* node) {
    if (profile.etcd.topology != EtcdTopology::external) {
        throw Mistake(
            "--restore: etcd on the control planes is not made from a snapshot yet, only etcd on nodes of its "
            "own (etcd.topology: external)");
    }
    if (node != nullptr && node->role != Role::etcd) {
        throw Mistake("--restore: " + node->name + " is no etcd node; name one, or say --all");
    }
}

void carry_snapshot(ImagePlan& plan, const Snapshot& snapshot) {
    plan.files.put(File{.path = snapshot_path,
                        .mode = 0600,
                        .content = snapshot.content,
                        .origin = "the snapshot that the cluster begins with"});
}

}  // namespace makina
