#include "builder/base/vendor_image.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "builder/base/facts.hpp"
#include "builder/base/fetch.hpp"
#include "builder/base/grow.hpp"
#include "builder/base/unpack.hpp"
#include "builder/sha256.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;

bool is_url(const std::string& source) {
    return source.rfind("https://", 0) == 0 || source.rfind("http://", 0) == 0;
}

/// What is in the folder. `disk` has its name only when it is complete; `record` is written just after and says of what
/// it was made.
struct Cache {
    fs::path disk, disk_part, download, record;
    explicit Cache(const fs::path& folder)
        : disk(folder / "disk.img"),
          disk_part(folder / "disk.img.part"),
          download(folder / "download"),
          record(folder / "source") {}
};

/// What tells one source from another without reading it: for a file its size and times, for a URL the pinned hash.
std::string fingerprint(const BaseRequest& request) {
    std::ostringstream text;
    text << vendor_recipe() << '\n' << request.base.source << '\n' << request.base.sha256 << '\n';
    text << request.base.free_bytes << '\n';
    if (is_url(request.base.source)) return text.str();
    struct stat status {};
    if (stat(request.base.source.c_str(), &status) != 0) throw_system("opening " + request.base.source);
    text << status.st_dev << ' ' << status.st_ino << ' ' << status.st_size << ' ' << status.st_mtim.tv_sec << '.'
         << status.st_mtim.tv_nsec << ' ' << status.st_ctim.tv_sec << '.' << status.st_ctim.tv_nsec << '\n';
    return text.str();
}

/// The source's sha256 if disk.img was made of it as it is now; empty otherwise.
std::string cached_hash(const Cache& cache, const std::string& fingerprint) {
    if (!fs::exists(cache.disk)) return {};
    std::ifstream file(cache.record, std::ios::binary);
    std::stringstream record;
    record << file.rdbuf();
    const std::string text = record.str();
    if (text.size() != 65 + fingerprint.size() || text.substr(65) != fingerprint) return {};
    return text.substr(0, 64);
}

void sync(const fs::path& path) {
    const Descriptor opened(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened || fsync(opened.get()) != 0) throw_system("syncing " + path.string());
}

void write_record(const fs::path& file, const std::string& text) {
    const fs::path part = file.string() + ".part";
    std::ofstream stream(part, std::ios::binary | std::ios::trunc);
    stream << text;
    stream.close();
    if (!stream) throw Error("writing " + part.string() + ": is the disk full?");
    sync(part);
    fs::rename(part, file);
}

/// The packed image as a local file whose hash is right, if the profile says what is right.
fs::path fetch_source(const BaseRequest& request, const Cache& cache) {
    const Base& base = request.base;
    if (!is_url(base.source)) {
        if (!base.sha256.empty() && fs::is_regular_file(base.source)) {
            request.say("checking " + base.source);
            const std::string found = sha256_of_file(base.source);
            if (found != base.sha256) {
                throw Untrusted(base.source + ": sha256 is " + found + " but must be " + base.sha256 +
                                ": the file is not the one that was meant");
            }
        }
        return base.source;
    }
    if (base.sha256.empty()) throw Error(base.source + ": an image from a URL needs its sha256 in the profile");
    if (fs::exists(cache.download) && sha256_of_file(cache.download) == base.sha256) return cache.download;
    if (request.offline) {
        throw Error(base.source + " was not fetched yet: build once without --offline, or name a local file");
    }
    request.say("fetching " + base.source);
    Download download;
    download.url = base.source;
    download.sha256 = base.sha256;
    download.file = cache.download;
    download.say = request.say;
    fetch(download);
    return cache.download;
}

void check_architecture(const BaseRequest& request, const BaseFacts& facts) {
    if (facts.architecture != request.architecture) {
        throw Error(request.base.source + ": the image is for " + to_string(facts.architecture) +
                    " but the node needs " + to_string(request.architecture));
    }
}

/// Unpacks, checks and enlarges under the name of the part. Gives the source's sha256.
std::string make_disk(const BaseRequest& request, const Cache& cache, const fs::path& source) {
    request.say("unpacking " + request.base.source);
    std::string hash = unpack_image(source, cache.disk_part);
    if (!request.base.sha256.empty() && hash != request.base.sha256) {
        throw Untrusted(request.base.source + ": the file changed while it was read");
    }
    const BaseFacts facts = read_facts(cache.disk_part);
    check_architecture(request, facts);
    request.say("enlarging its root file system");
    grow_root(cache.disk_part, request.base.free_bytes, facts.built);
    sync(cache.disk_part);
    return hash;
}

std::string make_base(const BaseRequest& request, const Cache& cache, const std::string& fingerprint) {
    fs::remove(cache.record);  // from here on an older disk.img counts as made of something unknown
    const fs::path source = fetch_source(request, cache);
    std::string hash;
    try {
        hash = make_disk(request, cache, source);
    } catch (...) {
        std::error_code ignored;
        fs::remove(cache.disk_part, ignored);
        throw;
    }
    fs::rename(cache.disk_part, cache.disk);
    write_record(cache.record, hash + "\n" + fingerprint);
    sync(cache.disk.parent_path());
    fs::remove(cache.download);
    return hash;
}

}  // namespace

std::string vendor_recipe() {
    return "vendor-image-1";
}

BaseImage prepare_vendor_image(const BaseRequest& request, const fs::path& folder) {
    return during("preparing the base image", [&] {
        const Cache cache(folder);
        const std::string wanted = fingerprint(request);
        std::string hash = cached_hash(cache, wanted);
        // A URL's hash is pinned: there is nothing newer to ask for.
        if (request.refresh && !is_url(request.base.source)) hash.clear();
        if (hash.empty()) hash = make_base(request, cache, wanted);
        BaseImage base{cache.disk, read_facts(cache.disk)};
        check_architecture(request, base.facts);
        base.facts.id = sha256_of(vendor_recipe() + "\n" + hash + "\n" + std::to_string(request.base.free_bytes));
        return base;
    });
}

}  // namespace makina
