#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

namespace makina {

/// One entry of a cpio archive of the form "newc", as the Linux kernel's documentation of the initramfs format has it
/// (driver-api/early-userspace/buffer-format): thirteen numbers of eight hexadecimal digits, name, content.
struct CpioEntry {
    std::string name;
    std::uint32_t mode = 0;
    std::string content = {};
    std::uint32_t inode = 0;
    std::uint32_t links = 1;
    std::uint32_t device_major = 0, device_minor = 0;
};

inline std::string cpio_entry(const CpioEntry& entry) {
    const auto padded = [](std::string text) {
        text.resize((text.size() + 3) / 4 * 4, '\0');
        return text;
    };
    const std::array<std::uint32_t, 13> numbers = {entry.inode,
                                                   entry.mode,
                                                   0,
                                                   0,
                                                   entry.links,
                                                   1700000000,
                                                   static_cast<std::uint32_t>(entry.content.size()),
                                                   0,
                                                   1,
                                                   entry.device_major,
                                                   entry.device_minor,
                                                   static_cast<std::uint32_t>(entry.name.size() + 1),
                                                   0};
    std::string header = "070701";
    for (const std::uint32_t number : numbers) {
        std::array<char, 9> text{};
        if (std::snprintf(text.data(), text.size(), "%08X", number) != 8) return {};
        header += text.data();
    }
    return padded(header + entry.name + '\0') + padded(entry.content);
}

inline std::string cpio_end() {
    return cpio_entry({"TRAILER!!!"});
}

}  // namespace makina
