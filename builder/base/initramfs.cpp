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

    /// `names` are those of one program in the initramfs, mostly a single one. Name and size say which package file it
    /// was copied from; where several fit, the one at the same place.
    [[nodiscard]] std::string of(const std::vector<std::string>& names, std::uint64_t size) const {
        for (const std::string& path : names) {
            if (is_klibc(path) && !klibc_.empty()) return klibc_;
            std::string counterpart = translation_.apply(source_of(path, size));
            if (!counterpart.empty() && node_.count(counterpart) != 0) return counterpart;
        }
        throw Error("the initramfs holds " + names.front() + ", and the node's packages have no counterpart of it");
    }

    /// The name under which the entry goes into the node's initramfs.
    [[nodiscard]] std::string renamed(const std::string& path) const {
        if (is_klibc(path) && !klibc_.empty()) return path.substr(0, path.rfind('/') + 1) + base_name(klibc_);
        return translation_.apply(path);
    }

  private:
    [[nodiscard]] std::string source_of(const std::string& path, std::uint64_t size) const {
        std::string found;
        const auto [begin, end] = by_name_.equal_range(base_name(path));
        for (auto candidate = begin; candidate != end; ++candidate) {
            const PackedFile& file = *candidate->second;
            if (file.size != size && file.hard_link.empty()) continue;
            if (found.empty() || file.path == path) found = file.path;
        }
        return found;
    }

    const Unpacked& node_;
    const Translation& translation_;
    std::multimap<std::string, const PackedFile*> by_name_;
    std::string klibc_;
};

/// A file with several names.
struct Shared {
    std::vector<std::string> names;
    std::string content;
};

/// By their first name. cpio gives the content with any one of the names, mostly the last.
std::map<std::string, Shared> shared_files(const std::string& initramfs) {
    std::map<std::string, Shared> shared;
    visit_initramfs(initramfs, [&](const PackedFile& file, const Content& content) {
        if (file.hard_link.empty()) return;
        Shared& of = shared[file.hard_link];
        if (of.names.empty()) of.names.push_back(file.hard_link);
        of.names.push_back(file.path);
        of.content += content();
    });
    visit_initramfs(initramfs, [&](const PackedFile& file, const Content& content) {
        const auto found = shared.find(file.path);
        if (found != shared.end() && found->second.content.empty()) found->second.content = content();
    });
    return shared;
}

}  // namespace

std::string translate_initramfs(const std::string& initramfs, const Unpacked& twin, const Unpacked& node,
                                const Translation& translation,
                                const std::function<std::string(const std::string& path)>& read, std::int64_t built) {
    const Counterparts counterparts(twin, node, translation);
    InitramfsWriter writer(built);
    const std::map<std::string, Shared> several = shared_files(initramfs);
    visit_initramfs(initramfs, [&](const PackedFile& file, const Content& content) {
        // The 64-bit linker's folder exists only on the twin; the linker itself moves with the translation.
        if (file.path == "/lib64" || file.path == "/usr/lib64" || file.path == "/etc/ld.so.cache") return;
        PackedFile entry = file;
        entry.path = counterparts.renamed(file.path);
        entry.target = translation.apply(file.target);
        entry.hard_link.clear();
        const auto link = several.find(file.hard_link.empty() ? file.path : file.hard_link);
        const Shared one =
            link != several.end() ? link->second : Shared{{file.path}, S_ISREG(file.mode) ? content() : std::string()};
        std::string bytes = one.content;
        if (is_program(bytes) && file.path.find("/modules/") == std::string::npos) {
            bytes = read(counterparts.of(one.names, bytes.size()));
        } else if (file.path == "/conf/arch.conf") {
            bytes = "DPKG_ARCH=arm64\n";
        }
        writer.add(entry, bytes);
    });
    return writer.finish();
}

}  // namespace makina
