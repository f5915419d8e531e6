#include "firstboot/join/restore.hpp"

#include <vector>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr const char* beside = "/var/lib/etcd/restoring";
/// A card reads and writes some 10 MB/s, and etcd's data may be gigabytes.
constexpr unsigned patience = 1800;  // seconds
constexpr unsigned moment = 60;      // seconds
constexpr int no_such_program = 127;

/// The end of what a program says: etcd's tells its whole story before it fails.
std::string last_line(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text.substr(text.rfind('\n') + 1);
}

Error failed(const std::string& what, const Answer& answer) {
    return Error(what + ": exit code " + std::to_string(answer.status) + ": " + last_line(answer.errors));
}

void run_or_throw(Host& host, const std::vector<std::string>& argv, unsigned seconds) {
    const Answer answer = host.run(argv, seconds);
    if (answer.status != 0) throw failed(argv.at(0), answer);
}

/// etcdutl came with etcd 3.5, and 3.6 took this away from etcdctl.
void make_data(Host& host, const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {"etcdutl"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    Answer answer = host.run(argv, patience);
    if (answer.status == no_such_program) {
        argv.front() = "etcdctl";
        answer = host.run(argv, patience);
    }
    if (answer.status != 0) throw failed(argv.front() + " snapshot restore", answer);
}

}  // namespace

std::string snapshot_fault(Host& host, const Bundle& bundle) {
    if (bundle.restore.empty()) return "";
    const std::string path = snapshot_path;
    const std::string remedy = ": write this card anew with makina-image build --restore";
    const auto facts = host.look(path);
    if (!facts || facts->kind != PathFacts::Kind::regular) return path + " is missing" + remedy;
    const Answer answer = host.run({"sha256sum", path}, patience);
    if (answer.status != 0) throw failed("sha256sum", answer);
    if (answer.output != bundle.restore + "  " + path + "\n") {
        return path + " is not the snapshot that the cluster begins with" + remedy;
    }
    return "";
}

void restore_snapshot(Host& host, const Bundle& bundle, const Beginning& beginning, const std::string& data_folder) {
    const std::string folder = data_folder.substr(0, data_folder.rfind('/') + 1);
    // What a cut left there may be half of it.
    run_or_throw(host, {"rm", "-rf", beside}, patience);
    make_data(host, {"snapshot", "restore", snapshot_path, "--name", bundle.node, "--initial-cluster",
                     beginning.initial_cluster, "--initial-cluster-token", beginning.token,
                     "--initial-advertise-peer-urls", beginning.peer_url, "--data-dir", beside});
    run_or_throw(host, {"chown", "-R", "etcd:etcd", beside}, moment);
    run_or_throw(host, {"sync", "--file-system", beside}, patience);
    // An empty one would be in the way; one with something in it stays, and renaming fails.
    if (host.look(data_folder)) (void)host.run({"rmdir", data_folder}, moment);
    host.rename(beside, data_folder.substr(folder.size()));
}

bool has_leftovers(Host& host) {
    return host.look(snapshot_path) || host.look(beside);
}

void remove_leftovers(Host& host) {
    if (host.look(beside)) run_or_throw(host, {"rm", "-rf", beside}, patience);
    host.remove(snapshot_path);
}

}  // namespace makina
