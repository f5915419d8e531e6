#include "tests/crash/card.hpp"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <sstream>

#include "builder/disk/disk.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/journal.hpp"
#include "firstboot/node/node.hpp"
#include "tests/crash/rig.hpp"

namespace makina::crash {
namespace {

std::string bytes_at(const fs::path& file, std::uint64_t offset, std::size_t count) {
    std::string bytes(count, '\0');
    std::ifstream stream(file, std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(offset));
    if (!stream.read(bytes.data(), static_cast<std::streamsize>(count))) throw Error(file.string() + " is too short");
    return bytes;
}

std::uint32_t little_endian(std::string_view bytes, std::size_t offset) {
    std::uint32_t number = 0;
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
}

void check(const fs::path& card, const Place& place, Found& found) {
    found.file_system = file_system_size(card);
    const Result verdict = run({{"e2fsck", "-fn", card.string() + "?offset=" + std::to_string(place.offset)}});
    if (verdict.status != 0) found.damage.push_back("e2fsck: " + verdict.output.substr(0, 2000));
    if (found.file_system > place.size) found.damage.emplace_back("the file system is larger than its partition");
}

std::string zeros_or_not(const std::string& content) {
    return content.find_first_not_of('\0') == std::string::npos ? "zeros" : "other bytes";
}

}  // namespace

std::optional<std::string> content_of(const fs::path& file) {
    std::error_code error;
    if (!fs::is_regular_file(fs::symlink_status(file, error))) return std::nullopt;
    std::ifstream stream(file, std::ios::binary);
    std::stringstream content;
    content << stream.rdbuf();
    if (!stream) throw Error("cannot read " + file.string());
    return std::move(content).str();
}

void put(const fs::path& file, const std::string& content, mode_t mode) {
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
    if (::chmod(file.c_str(), mode) != 0) throw_system("chmod " + file.string());
}

std::string filler(std::size_t size, unsigned seed) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>('a' + ((seed = seed * 1103515245U + 12345U) >> 16) % 26);
    return bytes;
}

Place place_of(const std::string& table, int partition) {
    const std::size_t entry = 446 + 16 * (static_cast<std::size_t>(partition) - 1);
    return {little_endian(table, entry + 8) * std::uint64_t{512},
            little_endian(table, entry + 12) * std::uint64_t{512}};
}

std::string first_sector(const fs::path& card) {
    return bytes_at(card, 0, 512);
}

std::uint64_t file_system_size(const fs::path& card) {
    const std::uint64_t offset = place_of(first_sector(card), root_partition).offset;
    // Linux, Documentation/filesystems/ext4/super.rst: s_blocks_count_lo at 4, s_log_block_size at 24.
    const std::string super = bytes_at(card, offset + 1024, 64);
    return static_cast<std::uint64_t>(little_endian(super, 4)) << (10 + little_endian(super, 24));
}

bool may_grow() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0) throw_system("asking for our capabilities");
    return (data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective & CAP_TO_MASK(CAP_SYS_RESOURCE)) != 0;
}

std::uint64_t root_size() {
    return may_grow() ? 28ULL << 20 : card_size - root_offset - spare_size;
}

void make_card(const fs::path& card, const fs::path& tree) {
    std::ofstream(card, std::ios::trunc).flush();
    fs::resize_file(card, card_size);
    write_partition_table(card, {0x6d616b69, {{1, 1 << 20, 1 << 20, 0x0c}, {2, root_offset, root_size(), 0x83}}});
    const std::string features =
        "has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,huge_file,"
        "dir_nlink,extra_isize,metadata_csum";
    const std::string options =
        "offset=" + std::to_string(root_offset) +
        ",root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1,assume_storage_prezeroed=1,nodiscard";
    const std::string size = std::to_string(root_size() / 1024) + "k";
    run_checked(
        {{"mke2fs", "-q",     "-F", "-t",     "ext4", "-b",    "4096", "-I",          "256",         "-i", "16384",
          "-O",     features, "-J", "size=4", "-E",   options, "-d",   tree.string(), card.string(), size},
         {{"MKE2FS_CONFIG", "/dev/null"}}});
}

void read_node(const fs::path& root, const Promise& promise, Found& found) {
    const auto content = [&](std::string_view path) { return content_of(root.string() + std::string(path)); };
    found.bundle = content(kept::bundle);
    found.delivered = content((fs::path("/boot/firmware") / delivery_name).string());
    found.journal = content(Journal::path);
    found.joined = content(kept::joined);
    for (const auto& [path, right] : promise.payloads) {
        if (auto there = content(path)) found.payloads[path] = std::move(*there);
    }
}

Found look_at(const fs::path& card, const Promise& promise) {
    Found found;
    found.table = first_sector(card);
    if (std::find(promise.tables.begin(), promise.tables.end(), found.table) == promise.tables.end()) {
        found.damage.emplace_back("the partition table is neither the old nor the new one");
        return found;
    }
    const Place place = place_of(found.table, root_partition);
    try {
        const Loop loop(card, place.offset, place.size);
        Mounted root(loop.whole(), workshop() / ("look-" + card.filename().string()));
        read_node(root.path(), promise, found);
        root.unmount();
    } catch (const Error& error) {
        found.damage.emplace_back(error.what());
    }
    check(card, place, found);
    return found;
}

std::vector<std::string> broken(const Promise& promise, const Found& found) {
    std::vector<std::string> broken = found.damage;
    if (!found.table.empty() && (found.file_system < root_size() || found.file_system > promise.largest_root)) {
        broken.push_back("the file system has " + std::to_string(found.file_system) + " bytes");
    }
    if (found.journal) {
        try {
            static_cast<void>(decode_journal(*found.journal));
        } catch (const Error& error) {
            broken.push_back(std::string("the journal cannot be read: ") + error.what());
        }
    }
    for (const auto& [path, there] : found.payloads) {
        if (there != promise.payloads.at(path)) broken.push_back(path + " has " + zeros_or_not(there));
    }
    if (found.joined) {
        if (*found.joined != promise.joined) broken.emplace_back("the done-mark is not whole");
        for (const auto& [path, right] : promise.payloads) {
            if (!found.payloads.contains(path)) broken.push_back("joined without " + path);
        }
    } else if (!found.bundle) {
        broken.emplace_back("no bundle and no done-mark");
    } else if (*found.bundle != promise.bundle && *found.bundle != promise.delivered) {
        broken.push_back("no done-mark, and the bundle is " + zeros_or_not(*found.bundle));
    } else if (*found.bundle == promise.bundle && found.delivered.value_or("") != promise.delivered) {
        broken.emplace_back("the bundle is the old one, and the new one is not whole");
    }
    return broken;
}

std::vector<std::string> unfinished(const Promise& promise, const Found& found) {
    std::vector<std::string> missing = broken(promise, found);
    if (!found.joined) missing.emplace_back("no done-mark");
    if (found.bundle) missing.emplace_back("the bundle is still there");
    if (found.delivered) missing.emplace_back("the delivered bundle is still there");
    if (found.table.empty()) return missing;
    if (found.table != promise.tables.back()) missing.emplace_back("the partition table is the old one");
    if (found.file_system != promise.largest_root) missing.emplace_back("the file system has not grown");
    return missing;
}

}  // namespace makina::crash
