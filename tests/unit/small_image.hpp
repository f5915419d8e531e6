#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "builder/card/card.hpp"
#include "builder/process.hpp"

namespace makina::small_image {

// A small image with everything that is looked at before a boot, and nothing that boots.

inline constexpr std::uint64_t mib = 1 << 20;
inline constexpr std::int64_t noon = 1700000000;
inline constexpr std::uint32_t regular = S_IFREG | 0644;

/// The first bytes of an arm64 kernel, as far as anybody looks at them.
inline std::string arm64_kernel() {
    std::string kernel(4096, '\0');
    return kernel.replace(56, 4, "ARM\x64");
}

inline void put_boot(const std::filesystem::path& image, const std::string& name, const std::string& content) {
    Fat(image, mib).write(name, content, noon);
}

inline void put_root(const std::filesystem::path& image, const std::string& path, const std::string& content,
                     std::uint32_t mode = regular) {
    Ext4 root(image, 8 * mib, true);
    root.write({path, mode, 0, 0, noon, content, 0, 0, {}});
    root.close();
}

inline void make(const std::filesystem::path& image, const std::string& node) {
    std::ofstream(image).close();
    std::filesystem::resize_file(image, 24 * mib);
    write_partition_table(image, {0x1234abcd, {{1, mib, 7 * mib, 0x0c}, {2, 8 * mib, 16 * mib, 0x83}}});
    run_checked({{"mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", "offset=8388608,root_owner=0:0",
                  image.string(), "16M"}});
    run_checked(
        {{"mkfs.fat", "-F", "16", "-s", "1", "-r", "512", "--offset", "2048", "--invariant", image.string(), "7168"}});
    put_boot(image, "config.txt", "arm_64bit=1\nkernel=vmlinuz-6\ninitramfs initrd.img-6 followkernel\n");
    put_boot(image, "cmdline.txt", "console=tty0 root=PARTUUID=1234abcd-02 rw quiet\n");
    put_boot(image, "vmlinuz-6", arm64_kernel());
    put_boot(image, "initrd.img-6", "the initrd");
    put_boot(image, "start4.elf", "");
    put_boot(image, "fixup4.dat", "");
    put_root(image, "/etc/hostname", node + "\n");
}

}  // namespace makina::small_image
