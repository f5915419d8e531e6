#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "builder/disk/disk.hpp"
#include "builder/process.hpp"
#include "tests/unit/scratch.hpp"

// Images as the vendors lay them out, as small as the tools allow: the right partitions, labels, ext4 features and the
// files by which a layout is known and which a plan has to deal with. Facts: pi-gen's branches bookworm-arm64 and
// arm64, Ubuntu's preinstalled server image for the Raspberry Pi, Debian's image-specs.
namespace makina::vendors {

constexpr std::int64_t released = 1750000000;  ///< mtime of every file
constexpr std::int64_t upgraded = 1750000100;  ///< mtime of dpkg's status file

struct Image {
    std::map<std::string, std::string> root;  ///< path on the ext4 -> content
    std::map<std::string, std::string> boot;  ///< path on the FAT -> content
    std::string root_label, boot_label;
    std::string features;  ///< for mke2fs -O
    std::uint32_t disk_id = 0x5eed0001;
    std::uint64_t boot_offset = 8 << 20, boot_size = 36 << 20, root_size = 24 << 20;  ///< bytes
};

/// The first bytes of a 64-bit little-endian program for an ELF machine: 183 is arm64, 40 arm, 62 x86-64.
inline std::string program(int machine) {
    std::string head(
        "\x7f"
        "ELF\x02\x01\x01",
        7);
    head.resize(64, '\0');
    head[16] = 2;
    head[18] = static_cast<char>(machine);
    return head + std::string(200, 'p');
}

inline Image distribution(const std::string& os_release, const std::string& packages) {
    Image image;
    image.root = {{"/usr/bin/dpkg", program(183)},
                  {"/usr/lib/os-release", os_release},
                  {"/etc/os-release", os_release},
                  {"/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"},
                  {"/etc/group", "root:x:0:\nshadow:x:42:\n"},
                  {"/etc/shadow", "root:*:20000:0:99999:7:::\n"},
                  {"/etc/gshadow", "root:*::\nshadow:*::\n"},
                  {"/usr/lib/modules/6.12.25-v8/modules.dep", ""},
                  {"/var/lib/dpkg/status", packages}};
    return image;
}

inline std::string installed(const std::string& name, const std::string& version) {
    return "Package: " + name + "\nStatus: install ok installed\nArchitecture: arm64\nVersion: " + version + "\n\n";
}

inline Image rpios(const std::string& codename, const std::string& version, const std::string& packages) {
    Image image =
        distribution("PRETTY_NAME=\"Debian GNU/Linux " + version + " (" + codename + ")\"\nID=debian\nVERSION_ID=\"" +
                         version + "\"\nVERSION_CODENAME=" + codename + "\n",
                     installed("raspberrypi-sys-mods", "1:20250101") + packages);
    image.root_label = "rootfs";
    image.boot_label = "bootfs";
    image.root["/etc/rpi-issue"] = "Raspberry Pi reference 2025-05-13\n";
    image.root["/etc/fstab"] =
        "proc /proc proc defaults 0 0\nPARTUUID=5eed0001-01 /boot/firmware vfat defaults 0 2\n"
        "PARTUUID=5eed0001-02 / ext4 defaults,noatime 0 1\n";
    image.root["/usr/lib/systemd/system/userconfig.service"] = "[Service]\nExecStart=/usr/lib/userconf-pi/userconf\n";
    image.boot["config.txt"] = "dtparam=audio=on\nauto_initramfs=1\narm_64bit=1\n[cm4]\notg_mode=1\n";
    image.boot["overlays/disable-wifi.dtbo"] = "dtbo";
    return image;
}

inline Image rpios_bookworm() {
    Image image = rpios("bookworm", "12",
                        installed("dphys-swapfile", "20100506-7.1+rpt1") +
                            "Package: triggerhappy\nStatus: deinstall ok config-files\nVersion: 0.5\n\n");
    image.features = "^64bit,^huge_file,^orphan_file,^metadata_csum_seed";
    image.root["/etc/dphys-swapfile"] = "CONF_SWAPSIZE=512\n";
    image.root["/usr/lib/raspberrypi-sys-mods/firstboot"] = "#!/bin/bash\n";
    image.boot["cmdline.txt"] =
        "console=serial0,115200 console=tty1 root=PARTUUID=5eed0001-02 rootfstype=ext4 fsck.repair=yes rootwait quiet "
        "init=/usr/lib/raspberrypi-sys-mods/firstboot\n";
    return image;
}

inline Image rpios_trixie() {
    Image image = rpios("trixie", "13",
                        installed("rpi-swap", "1.0") + installed("rpi-loop-utils", "1.0") +
                            installed("cloud-init", "25.1.4") + installed("systemd-zram-generator", "1.2.1"));
    image.features = "^64bit,^huge_file,orphan_file,metadata_csum_seed";
    image.root["/etc/rpi/swap.conf"] = "[Main]\n#Mechanism=auto\n";
    image.root["/etc/cloud/cloud.cfg"] = "datasource_list: [ NoCloud, None ]\n";
    image.boot["cmdline.txt"] =
        "console=serial0,115200 console=tty1 root=PARTUUID=5eed0001-02 rootfstype=ext4 fsck.repair=yes rootwait "
        "resize\n";
    image.boot["user-data"] = "#cloud-config\n";
    image.boot["meta-data"] = "dsmode: local\ninstance_id: rpios-image\n";
    image.boot["network-config"] = "# nothing\n";
    return image;
}

inline Image ubuntu_2404() {
    Image image = distribution(
        "PRETTY_NAME=\"Ubuntu 24.04.2 LTS\"\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\nID=ubuntu\nID_LIKE=debian\n",
        installed("cloud-init", "25.1.2-0ubuntu0~24.04.1") + installed("flash-kernel", "3.107ubuntu13"));
    image.root_label = "writable";
    image.boot_label = "system-boot";
    image.features = "64bit,^orphan_file";
    image.boot_offset = 1 << 20;
    image.root["/etc/fstab"] =
        "LABEL=writable / ext4 discard,errors=remount-ro 0 1\nLABEL=system-boot /boot/firmware vfat defaults 0 1\n";
    image.root["/etc/cloud/cloud.cfg"] = "users:\n  - default\n";
    image.boot["cmdline.txt"] =
        "console=serial0,115200 multipath=off dwc_otg.lpm_enable=0 console=tty1 root=LABEL=writable rootfstype=ext4 "
        "rootwait fixrtc\n";
    image.boot["config.txt"] = "[all]\nkernel=vmlinuz\ncmdline=cmdline.txt\ninitramfs initrd.img followkernel\n";
    image.boot["user-data"] = "#cloud-config\nchpasswd:\n  expire: true\n";
    image.boot["meta-data"] = "instance-id: cloud-image\n";
    image.boot["network-config"] = "network:\n  version: 2\n";
    return image;
}

inline Image debian_raspi() {
    Image image = distribution("ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n",
                               installed("raspi-firmware", "1.20240424+ds-6"));
    image.root_label = "RASPIROOT";
    image.boot_label = "RASPIFIRM";
    image.features = "64bit";
    image.boot["cmdline.txt"] = "console=tty0 root=LABEL=RASPIROOT rw rootwait\n";
    return image;
}

inline void set_time(const std::filesystem::path& file, std::int64_t seconds) {
    const auto system = std::chrono::sys_seconds(std::chrono::seconds(seconds));
    std::filesystem::last_write_time(file, std::chrono::file_clock::from_sys(system));
}

inline void write_root(const Scratch& scratch, const Image& image, const std::filesystem::path& file) {
    const Scratch tree;
    for (const auto& [path, content] : image.root) {
        set_time(tree.write(path.substr(1), content), path == "/var/lib/dpkg/status" ? upgraded : released);
    }
    const std::string at = "offset=" + std::to_string(image.boot_offset + image.boot_size) +
                           ",root_owner=0:0,hash_seed=11111111-2222-4333-8444-555555555555";
    run_checked({{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-O", image.features, "-U",
                  "11111111-2222-4333-8444-666666666666", "-L", image.root_label, "-E", at, "-d", tree.path().string(),
                  file.string(), std::to_string(image.root_size >> 10) + "k"},
                 {{"E2FSPROGS_FAKE_TIME", std::to_string(released)}},
                 scratch.path()});
}

/// Writes scratch/name, a raw image.
inline std::filesystem::path write(const Scratch& scratch, const std::string& name, const Image& image) {
    std::filesystem::path file = scratch / name;
    std::ofstream(file).close();
    std::filesystem::resize_file(file, image.boot_offset + image.boot_size + image.root_size);
    write_partition_table(file, {image.disk_id,
                                 {{1, image.boot_offset, image.boot_size, 0x0c},
                                  {2, image.boot_offset + image.boot_size, image.root_size, 0x83}}});
    run_checked({{"mkfs.fat", "-F", "32", "-s", "1", "-n", image.boot_label, "--offset",
                  std::to_string(image.boot_offset / 512), "--invariant", file.string(),
                  std::to_string(image.boot_size >> 10)}});
    Fat fat(file, image.boot_offset);
    for (const auto& [path, content] : image.boot) fat.write(path, content, released);
    write_root(scratch, image, file);
    return file;
}

enum class Packing { plain, gzip, xz, zstd, zip };

using Entries = std::vector<std::pair<std::string, std::string>>;  ///< name -> content

/// Writes an archive: a zip of all entries, or the first entry's bytes compressed.
inline std::filesystem::path pack(const std::filesystem::path& file, Packing packing, const Entries& entries) {
    using Writer = Handle<archive, archive_write_free>;
    const auto require = [](int code) {
        if (code != ARCHIVE_OK) throw std::runtime_error("libarchive cannot write this");
    };
    const Writer writer(archive_write_new());
    require(packing == Packing::zip ? archive_write_set_format_zip(writer.get())
                                    : archive_write_set_format_raw(writer.get()));
    if (packing == Packing::gzip) require(archive_write_add_filter_gzip(writer.get()));
    if (packing == Packing::xz) require(archive_write_add_filter_xz(writer.get()));
    if (packing == Packing::zstd) require(archive_write_add_filter_zstd(writer.get()));
    if (packing == Packing::xz) require(archive_write_set_filter_option(writer.get(), "xz", "compression-level", "0"));
    require(archive_write_open_filename(writer.get(), file.c_str()));
    for (const auto& [name, content] : entries) {
        const Handle<archive_entry, archive_entry_free> entry(archive_entry_new());
        archive_entry_set_pathname(entry.get(), name.c_str());
        archive_entry_set_filetype(entry.get(), AE_IFREG);
        archive_entry_set_perm(entry.get(), 0644);
        archive_entry_set_size(entry.get(), static_cast<la_int64_t>(content.size()));
        archive_entry_set_mtime(entry.get(), released, 0);
        require(archive_write_header(writer.get(), entry.get()));
        if (archive_write_data(writer.get(), content.data(), content.size()) < 0) require(ARCHIVE_FATAL);
        if (packing != Packing::zip) break;
    }
    require(archive_write_close(writer.get()));
    return file;
}

}  // namespace makina::vendors
