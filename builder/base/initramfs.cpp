#include <sys/stat.h>

#include <map>

#include "builder/base/twin.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

std::string base_name(const std::string& path) {
    return path.substr(path.rfind('/') + 1);
}

bool is_program(const std::string& content) {
    return content.rfind(
               "\x7f"
               "ELF",
               0) == 0;
}

/// klibc's shared library has a hash of its code in its name, so it differs between architectures.
bool is_klibc(const std::string& path) {
    return base_name(path).rfind("klibc-", 0) == 0 && path.size() > 3 && path.compare(path.size() - 3, 3, ".so") == 0;
}

/// Finds for a program of the twin the file of the node that stands for it.
class Counterparts {
  public:
    Counterparts(const Unpacked& twin, const Unpacked& node, const Translation& translation)
        : node_(node), translation_(translation) {
        for (const auto& [path, file] : twin) {
            if (S_ISREG(file.mode)) by_name_.emplace(base_name(path), &file);
        }
        for (const auto& [path, file] : node) {
            if (is_klibc(path)) klibc_ = path;
        }
    }

    /// Name and size say which package file an entry was copied from; where several fit, the one at the same place.
    [[nodiscard]] std::string of(const std::string& path, std::uint64_t size) const {
        if (is_klibc(path) && !klibc_.empty()) return klibc_;
        std::string found;
        const auto [begin, end] = by_name_.equal_range(base_name(path));
        for (auto candidate = begin; candidate != end; ++candidate) {
            const PackedFile& file = *candidate->second;
            if (file.size != size && file.hard_link.empty()) continue;
            if (found.empty() || file.path == path) found = file.path;
        }
        const std::string counterpart = translation_.apply(found);
        if (found.empty() || node_.count(counterpart) == 0) {
            throw Error("the initramfs holds " + path + ", and the node's packages have no counterpart of it");
        }
        return counterpart;
    }

    /// The name under which the entry goes into the node's initramfs.
    [[nodiscard]] std::string renamed(const std::string& path) const {
        if (is_klibc(path) && !klibc_.empty()) return path.substr(0, path.rfind('/') + 1) + base_name(klibc_);
        return translation_.apply(path);
    }

  private:
    const Unpacked& node_;
    const Translation& translation_;
    std::multimap<std::string, const PackedFile*> by_name_;
    std::string klibc_;
};

}  // namespace

std::string translate_initramfs(const std::string& initramfs, const Unpacked& twin, const Unpacked& node,
                                const Translation& translation,
                                const std::function<std::string(const std::string& path)>& read, std::int64_t built) {
    const Counterparts counterparts(twin, node, translation);
    InitramfsWriter writer(built);
    std::map<std::string, std::string> written;
    visit_initramfs(initramfs, [&](const PackedFile& file, const Content& content) {
        // The 64-bit linker's folder exists only on the twin; the linker itself moves with the translation.
        if (file.path == "/lib64" || file.path == "/usr/lib64" || file.path == "/etc/ld.so.cache") return;
        PackedFile entry = file;
        entry.path = counterparts.renamed(file.path);
        entry.target = translation.apply(file.target);
        entry.hard_link.clear();
        std::string bytes = S_ISREG(file.mode) && file.hard_link.empty() ? content() : std::string();
        if (!file.hard_link.empty()) {
            bytes = written.at(file.hard_link);
        } else if (is_program(bytes) && file.path.find("/modules/") == std::string::npos) {
            bytes = read(counterparts.of(file.path, bytes.size()));
        } else if (file.path == "/conf/arch.conf") {
            bytes = "DPKG_ARCH=arm64\n";
        }
        writer.add(entry, bytes);
        if (S_ISREG(file.mode) && bytes.size() < (1 << 20)) written[file.path] = bytes;
    });
    return writer.finish();
}

}  // namespace makina
