#include "builder/base/packages.hpp"

#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <future>
#include <optional>
#include <set>

#include "builder/base/database.hpp"
#include "builder/base/install.hpp"
#include "builder/base/twin.hpp"
#include "builder/disk/disk.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// Left out on a headless node: nobody reads manuals there, and every file is a block to write to the card. Copyright
/// notices stay. dpkg on the node keeps to the same list.
const std::vector<std::string> excluded = {"/usr/share/doc/*",    "/usr/share/man/*",     "/usr/share/info/*",
                                           "/usr/share/locale/*", "/usr/share/lintian/*", "/usr/share/bug/*"};
const std::vector<std::string> included = {"/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias"};

bool matches(const std::vector<std::string>& patterns, const std::string& path) {
    return std::any_of(patterns.begin(), patterns.end(),
                       [&](const std::string& pattern) { return fnmatch(pattern.c_str(), path.c_str(), 0) == 0; });
}

bool left_out(const std::string& path) {
    return matches(excluded, path) && !matches(included, path);
}

/// Packages that exist for the node's boards alone. Their maintainer scripts make the initramfs and fill the boot
/// partition; here the twin does the first and write_boot_partition the second.
bool is_boot_package(const std::string& name) {
    return name.rfind("linux-image-", 0) == 0 || name == "raspi-firmware";
}

std::string native_architecture() {
    std::string name = run_checked({{"dpkg", "--print-architecture"}});
    while (!name.empty() && name.back() == '\n') name.pop_back();
    return name;
}

/// "3.11-4+b1" -> "3.11-4": a rebuild for one architecture has the same sources and so the same maintainer scripts.
std::string source_version(const std::string& version) {
    const auto plus = version.rfind("+b");
    const bool rebuild = plus != std::string::npos && plus + 2 < version.size() &&
                         version.find_first_not_of("0123456789", plus + 2) == std::string::npos;
    return rebuild ? version.substr(0, plus) : version;
}

void create_sparse(const std::filesystem::path& file, std::uint64_t size) {
    std::ofstream stream(file, std::ios::binary);
    if (!stream) throw_system("making " + file.string());
    stream.close();
    std::filesystem::resize_file(file, size);
}

/// The node's side of the work: the packages unpacked into the root file system of the image.
class NodeRoot {
  public:
    NodeRoot(const std::filesystem::path& image, std::uint64_t offset) : root_(image, offset, true) {}

    void unpack(const Deb& deb, bool hold) {
        const auto place = [&](const PackedFile& file, const std::string& content) {
            this->place(file, content, deb.package.name);
        };
        packages_.push_back(unpack_package(deb, {[](const std::string& path) { return !left_out(path); }, place}));
        packages_.back().hold = hold;
    }

    void apply(const Configuration& configuration) {
        for (const std::string& path : configuration.removed) root_.remove(path);
        for (const auto& [file, content] : configuration.written) {
            // base-files unpacks the folder /var/lock, and its script puts a link in its place.
            const auto before = root_.stat(file.path);
            if (before && S_ISDIR(before->mode) && !S_ISDIR(file.mode)) root_.remove(file.path);
            write(file, content);
        }
        for (const PackedFile& file : configuration.changed) {
            root_.set_owner(file.path, file.mode, file.uid, file.gid, file.xattrs);
        }
    }

    void write(const PackedFile& file, const std::string& content) {
        root_.write({file.path, file.mode, file.uid, file.gid, file.mtime, S_ISLNK(file.mode) ? file.target : content,
                     file.device_major, file.device_minor, file.xattrs});
    }

    void write(const std::string& path, const std::string& content, std::int64_t built, std::uint32_t mode = 0644) {
        root_.write({path, S_IFREG | mode, 0, 0, built, content, 0, 0, {}});
    }

    void write_database(const std::string& architecture, std::int64_t built) {
        for (const File& file : package_database(packages_, architecture))
            write(file.path, file.content, built, file.mode);
    }

    [[nodiscard]] Ext4& file_system() { return root_; }
    [[nodiscard]] const Unpacked& unpacked() const { return unpacked_; }

  private:
    void place(const PackedFile& file, const std::string& content, const std::string& package) {
        const auto [known, is_new] = unpacked_.try_emplace(file.path, file);
        if (!is_new) {
            // A package from elsewhere may still have the folder /lib, which is a link here (see merged_path).
            const bool holds_files = S_ISDIR(known->second.mode) || S_ISLNK(known->second.mode);
            if (S_ISDIR(file.mode) && holds_files) return;
            throw Error("the packages " + package + " and " + owners_[file.path] + " both have " + file.path);
        }
        owners_[file.path] = package;
        if (!file.hard_link.empty()) {
            root_.hard_link(file.hard_link, file.path);
        } else {
            write(file, content);
        }
    }

    Ext4 root_;
    Unpacked unpacked_;
    std::map<std::string, std::string> owners_;
    std::vector<InstalledPackage> packages_;
};

/// What the twin's packages unpack: only the entries, no contents.
Unpacked list_unpacked(const std::vector<std::filesystem::path>& debs) {
    Unpacked unpacked;
    for (const auto& deb : debs) {
        visit_deb(deb, [&](const PackedFile& file, const Content&) {
            if (!left_out(file.path)) unpacked.try_emplace(file.path, file);
        });
    }
    return unpacked;
}

void make_file_systems(const std::filesystem::path& image, std::uint64_t root_size, const std::string& id,
                       std::int64_t built) {
    create_sparse(image, root_offset + root_size);
    PartitionTable table;
    table.disk_id = static_cast<std::uint32_t>(std::stoul(id.substr(0, 8), nullptr, 16)) | 1U;
    table.partitions = {{1, boot_offset, boot_size, 0x0c}, {2, root_offset, root_size, 0x83}};
    write_partition_table(image, table);
    run_checked({{"mkfs.fat", "-F", "32", "--invariant", "-n", "BOOTFS", "-i", id.substr(8, 8), "--offset",
                  std::to_string(boot_offset / 512), image.string(), std::to_string(boot_size / 1024)}});
    // A UUID of version 4 in form, from the identity instead of chance, so that equal bases are equal bytes.
    const std::string uuid = id.substr(0, 8) + "-" + id.substr(8, 4) + "-4" + id.substr(13, 3) + "-a" +
                             id.substr(17, 3) + "-" + id.substr(20, 12);
    const std::string features =
        "has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
        "dir_nlink,extra_isize,metadata_csum";
    // MKE2FS_CONFIG: the features are ours to choose, not the building machine's. Inode tables and journal are left as
    // holes, because a new file reads as zero.
    run_checked({{"mke2fs",
                  "-q",
                  "-F",
                  "-t",
                  "ext4",
                  "-b",
                  "4096",
                  "-I",
                  "256",
                  "-i",
                  "16384",
                  "-L",
                  "rootfs",
                  "-U",
                  uuid,
                  "-O",
                  features,
                  "-J",
                  "size=32",
                  "-E",
                  "offset=" + std::to_string(root_offset) + ",hash_seed=" + uuid +
                      ",root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1,nodiscard",
                  image.string(),
                  std::to_string(root_size / 1024) + "k"},
                 {{"E2FSPROGS_FAKE_TIME", std::to_string(built)}, {"MKE2FS_CONFIG", "/dev/null"}}});
}

/// What raspi-firmware's own hook does on a running Debian (its /etc/kernel/postinst.d/z50-raspi-firmware): firmware,
/// device trees, kernel and initramfs into the partition that the firmware reads. config.txt and cmdline.txt are a
/// node's own, so the plan writes them.
void write_boot_partition(const std::filesystem::path& image, const Ext4& root, const std::string& kernel,
                          std::int64_t built) {
    Fat boot(image, boot_offset);
    const auto copy = [&](const std::string& from, const std::string& to) {
        boot.write(to, root.read_file(from), built);
    };
    root.walk("/usr/lib/raspi-firmware", [&](const std::string& path, const Stat& stat) {
        if (S_ISREG(stat.mode)) copy(path, path.substr(std::string("/usr/lib/raspi-firmware/").size()));
    });
    const std::string trees = "/usr/lib/linux-image-" + kernel + "/broadcom";
    const std::string tree = trees + "/";
    for (const std::string& name : root.list(trees)) {
        if (name.rfind("bcm", 0) == 0) copy(tree + name, name);
    }
    for (const char* name : {"vmlinuz-", "initrd.img-"}) copy("/boot/" + (name + kernel), name + kernel);
}

std::string excludes_for_dpkg() {
    std::string text = "# Left out to spare the card; copyright notices stay.\n";
    for (const std::string& pattern : excluded) text += "path-exclude=" + pattern + "\n";
    for (const std::string& pattern : included) text += "path-include=" + pattern + "\n";
    return text;
}

void require_same_versions(const std::vector<ArchivePackage>& node, const std::vector<ArchivePackage>& twin) {
    std::map<std::string, std::string> versions;
    for (const ArchivePackage& package : node) versions[package.name] = source_version(package.version);
    for (const ArchivePackage& package : twin) {
        const auto found = versions.find(package.name);
        if (found == versions.end()) {
            throw Error("on this machine's architecture the packages also need " + package.name +
                        ", which the node does not have");
        }
        if (found->second != source_version(package.version)) {
            throw Error("the archive has " + package.name + " " + found->second + " for the node and " +
                        package.version + " for this machine: it is being updated, try again in an hour");
        }
    }
}

std::vector<std::string> names_of(const std::vector<ArchivePackage>& packages) {
    std::vector<std::string> names;
    for (const ArchivePackage& package : packages) {
        if (!is_boot_package(package.name)) names.push_back(package.name);
    }
    return names;
}

/// "linux-image-6.12.117+deb13-arm64" -> "6.12.117+deb13-arm64": the package with the kernel, not the one that names
/// it.
std::optional<std::size_t> find_kernel(const std::vector<ArchivePackage>& packages) {
    for (std::size_t i = 0; i < packages.size(); ++i) {
        const std::string& name = packages[i].name;
        if (name.rfind("linux-image-", 0) == 0 && name.size() > 12 &&
            std::isdigit(static_cast<unsigned char>(name[12])) != 0)
            return i;
    }
    return std::nullopt;
}

}  // namespace

PackageList list_packages(const BaseRequest& request, const std::filesystem::path& apt_folder) {
    const Apt node(apt_folder / to_string(request.architecture), to_string(request.architecture), request.base);
    request.say("asking the package archive");
    node.update();
    PackageList list{node.resolve(request.packages), {}};
    std::string& text = list.description;
    text =
        std::string(package_recipe) + "\nfree " + std::to_string(request.base.free_bytes) + "\n" + excludes_for_dpkg();
    for (const ArchivePackage& package : list.packages) {
        text += package.name + " " + package.version + " " + package.architecture + " " + package.sha256 +
                (package.asked ? " asked" : "") + "\n";
    }
    return list;
}

void build_package_base(const BaseRequest& request, const std::vector<ArchivePackage>& packages,
                        const std::filesystem::path& apt_folder, const std::filesystem::path& folder,
                        const std::string& id, const KubernetesParts& kubernetes) {
    const std::string native = native_architecture();
    if (native != "amd64" || request.architecture != Architecture::arm64) {
        throw Error("a base of packages for " + to_string(request.architecture) + " cannot be made on " + native +
                    " yet: only for arm64 on amd64; use a vendor image as base");
    }
    const Apt node(apt_folder / to_string(request.architecture), to_string(request.architecture), request.base);
    const Apt twin(apt_folder / native, native, request.base);
    twin.update();
    const std::vector<ArchivePackage> twin_packages = twin.resolve(names_of(packages));
    require_same_versions(packages, twin_packages);
    request.say("fetching " + std::to_string(packages.size()) + " packages for the node and " +
                std::to_string(twin_packages.size()) + " for its twin");
    const auto debs = node.fetch(packages);
    const auto twin_debs = twin.fetch(twin_packages);

    PackageSet set;
    std::uint64_t kib = 0;
    for (const auto& deb : debs) {
        const std::string control = read_control(deb).at("control");
        set.add(control);
        kib += installed_kib(control);
    }
    require_dependencies(kubernetes.debs, std::move(set));

    std::int64_t built = 0;
    for (const auto& deb : debs) built = std::max(built, deb_time(deb));
    for (const Deb& deb : kubernetes.debs) built = std::max(built, deb_time(deb.file));
    for (const auto& deb : twin_debs) built = std::max(built, deb_time(deb));
    ++built;  // newer than every file of every package: that is how a changed file is known

    TwinRequest twin_request{
        folder / "work",        twin_packages, twin.sources(), twin.debs(), request.base.suite, native, "",
        folder / "work/kernel", built,         excluded,       included};
    std::filesystem::create_directories(twin_request.work);
    const auto kernel_at = find_kernel(packages);
    if (!kernel_at) throw Error("no kernel among the packages");
    twin_request.kernel = packages[*kernel_at].name.substr(std::string("linux-image-").size());
    for (std::size_t i = 0; i < packages.size(); ++i) {
        if (!is_boot_package(packages[i].name)) continue;
        run_checked({{"dpkg-deb", "--extract", debs[i].string(), twin_request.kernel_tree.string()}});
    }

    request.say("installing the twin (natively) and unpacking the node's packages");
    auto twin_tar = std::async(std::launch::async, [&] { return build_twin(twin_request); });

    const std::filesystem::path image = folder / "disk.img";
    // An eighth more than the packages say for tables and rounding, and room for initramfs, indexes and certificates.
    const std::uint64_t step = 64ULL << 20;
    const std::uint64_t size =
        kib * 1024 * 9 / 8 + (160ULL << 20) + kubernetes_size(kubernetes) + request.base.free_bytes;
    make_file_systems(image, (size + step - 1) / step * step, id, built);
    NodeRoot root(image, root_offset);
    for (std::size_t i = 0; i < packages.size(); ++i) root.unpack({packages[i], debs[i]}, false);
    // Their maintainer scripts only tell a running systemd to read its units again.
    for (const Deb& deb : kubernetes.debs) root.unpack(deb, true);
    const Unpacked twin_unpacked = list_unpacked(twin_debs);

    const std::filesystem::path tar = during("installing the twin", [&] { return twin_tar.get(); });
    request.say("carrying the twin's configuration over");
    const Translation translation = amd64_to_arm64();
    const Configuration configuration = read_configuration(tar, twin_unpacked, translation);
    root.apply(configuration);
    root.write("/boot/initrd.img-" + twin_request.kernel,
               translate_initramfs(
                   configuration.initramfs, twin_unpacked, root.unpacked(), translation,
                   [&](const std::string& path) { return root.file_system().read_file(path); }, built),
               built);
    // As Debian's linux-update-symlinks leaves them.
    for (const std::string name : {"vmlinuz", "initrd.img"}) {
        PackedFile link;
        link.path = "/" + name;
        link.mode = S_IFLNK | 0777;
        link.mtime = built;
        link.target = "boot/" + name + "-" + twin_request.kernel;
        root.write(link, {});
    }
    PackedFile mount_point;
    mount_point.path = "/boot/firmware";
    mount_point.mode = S_IFDIR | 0755;
    mount_point.mtime = built;
    root.write(mount_point, {});
    root.write("/etc/dpkg/dpkg.cfg.d/makina", excludes_for_dpkg(), built);
    root.write(
        "/usr/lib/makina/base",
        "makina-base 1\nid " + id + "\nkernel " + twin_request.kernel + "\nbuilt " + std::to_string(built) + "\n",
        built);
    write_programs(root.file_system(), kubernetes, built);
    root.write_database(to_string(request.architecture), built);
    request.say("filling the boot partition");
    write_boot_partition(image, root.file_system(), twin_request.kernel, built);
    root.file_system().close();
    std::filesystem::remove_all(twin_request.work);
}

}  // namespace makina
