#include "builder/base/vendor_image.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "builder/base/facts.hpp"
#include "builder/base/fetch.hpp"
#include "builder/base/grow.hpp"
#include "builder/base/unpack.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

bool is_url(const std::string& source) {
    return source.rfind("https://", 0) == 0 || source.rfind("http://", 0) == 0;
}

void sync(const fs::path& path) {
    const Descriptor opened(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened || fsync(opened.get()) != 0) throw_system("writing " + path.string() + " to the disk");
}

/// The packed image as a local file. A fetched one is kept until the base is made of it, under a lock: two bases of
/// one image that differ in their free space are made at the same time.
class PackedImage {
  public:
    explicit PackedImage(const BaseRequest& request) : request_(request), file_(request.base.source) {
        if (is_url(request.base.source)) fetch_it();
        if (!is_url(request.base.source)) check_local();
    }
    [[nodiscard]] const fs::path& file() const { return file_; }
    /// The base is made; the packed image is not needed any more.
    void drop() const {
        if (is_url(request_.base.source)) fs::remove(file_);
    }

  private:
    void fetch_it() {
        const Base& base = request_.base;
        if (base.sha256.empty()) throw Error(base.source + ": an image from a URL needs its sha256 in the profile");
        const fs::path folder = request_.cache / "downloads";
        fs::create_directories(folder);
        file_ = folder / base.sha256;
        lock_ = Descriptor(open((file_.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
        if (!lock_) throw_system("opening " + file_.string() + ".lock");
        while (flock(lock_.get(), LOCK_EX) != 0) {
            if (errno != EINTR) throw_system("locking " + file_.string() + ".lock");
        }
        if (fs::exists(file_) && sha256_of_file(file_) == base.sha256) return;
        if (request_.offline) {
            throw Error(base.source + " was not fetched yet: build once without --offline, or name a local file");
        }
        Download download;
        download.url = base.source;
        download.sha256 = base.sha256;
        download.file = file_;
        download.say = request_.say;
        fetch(download);
    }
    void check_local() const {
        const std::string& wanted = request_.base.sha256;
        if (wanted.empty() || !fs::is_regular_file(file_)) return;
        request_.say("checking " + file_.string());
        const std::string found = sha256_of_file(file_);
        if (found == wanted) return;
        throw Untrusted(file_.string() + ": sha256 is " + found + " but must be " + wanted +
                        ": the file is not the one that was meant");
    }

    const BaseRequest& request_;
    fs::path file_;
    Descriptor lock_;
};

/// Puts Kubernetes into the root file system.
void add_kubernetes(const BaseRequest& request, const KubernetesParts& kubernetes, const fs::path& disk,
                    std::int64_t built) {
    request.say("adding Kubernetes " + kubernetes.version);
    const PartitionTable table = read_partition_table(disk);
    Ext4 root(disk, table.find(2)->offset, true);
    install_debs(root, kubernetes.debs, request.packages);
    write_programs(root, kubernetes, built);
    root.close();
}

/// Unpacks, checks and enlarges the image in `disk`. Gives its facts.
BaseFacts make_disk(const BaseRequest& request, const KubernetesParts& kubernetes, const fs::path& packed,
                    const fs::path& disk) {
    request.say("unpacking " + request.base.source);
    const std::string hash = unpack_image(packed, disk);
    if (!request.base.sha256.empty() && hash != request.base.sha256) {
        throw Untrusted(request.base.source + ": the file changed while it was read");
    }
    BaseFacts facts = read_facts(disk);
    if (facts.architecture != request.architecture) {
        throw Error(request.base.source + ": the image is for " + to_string(facts.architecture) +
                    " but the node needs " + to_string(request.architecture));
    }
    request.say("making room in its root file system");
    grow_root(disk, request.base.free_bytes + kubernetes_size(kubernetes), facts.built);
    if (!kubernetes.empty()) {
        during("adding Kubernetes", [&] { add_kubernetes(request, kubernetes, disk, facts.built); });
        facts = read_facts(disk);
    }
    facts.id = sha256(std::string(vendor_recipe) + "\n" + hash + "\nfree " + std::to_string(request.base.free_bytes) +
                      "\n" + describe_kubernetes(kubernetes));
    sync(disk);
    return facts;
}

}  // namespace

BaseImage prepare_vendor_image(const BaseRequest& request, const fs::path& folder, const KubernetesParts& kubernetes) {
    return during("preparing the base image", [&] {
        const PackedImage packed(request);
        const fs::path part = folder / "disk.img.part";
        BaseImage base;
        base.path = folder / "disk.img";
        try {
            base.facts = make_disk(request, kubernetes, packed.file(), part);
            fs::rename(part, base.path);
        } catch (...) {
            std::error_code ignored;
            fs::remove(part, ignored);
            throw;
        }
        sync(folder);
        packed.drop();
        return base;
    });
}

}  // namespace makina
