#include "builder/flash/content.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "builder/flash/source.hpp"
#include "builder/flash/unpack.hpp"

namespace makina {
namespace {

using namespace std::string_view_literals;

/// Bytes that tell what a file is, and where they are.
struct Mark {
    std::string_view bytes;
    std::size_t offset = 0;
    [[nodiscard]] bool is_in(std::string_view content) const {
        return content.size() >= offset && content.substr(offset, bytes.size()) == bytes;
    }
};

/// What images come in that we do not unpack, and a program that does.
struct Wrapping {
    Mark mark;
    const char* name;
    const char* program;
};

// PKWARE's APPNOTE.TXT 4.3; 7zFormat.txt; POSIX pax (ustar); the others as file(1) tells them.
constexpr std::array<Wrapping, 9> wrappings = {{{{"PK\3\4"sv}, "a zip archive", "unzip"},
                                                {{"PK\5\6"sv}, "a zip archive", "unzip"},
                                                {{"7z\xbc\xaf\x27\x1c"sv}, "a 7z archive", "7z x"},
                                                {{"Rar!\x1a\x07"sv}, "a rar archive", "unrar x"},
                                                {{"ustar"sv, 257}, "a tar archive", "tar -xf"},
                                                {{"BZh"sv}, "packed with bzip2", "bunzip2"},
                                                {{"\x04\x22\x4d\x18"sv}, "packed with lz4", "lz4 -d"},
                                                {{"QFI\xfb"sv}, "a qcow2 image", "qemu-img convert -O raw"},
                                                {{"\x3a\xff\x26\xed"sv}, "a sparse Android image", "simg2img"}}};

// The last two bytes of a master boot record; a GPT's header behind it, for sectors of both sizes (UEFI 2.10, 5.3).
// Then file systems without a partition table around them, where libblkid looks for them: ext2 to 4, ISO 9660, btrfs,
// XFS, squashfs, F2FS.
constexpr std::array<Mark, 9> beginnings = {{{"\x55\xaa"sv, 510},
                                             {"EFI PART"sv, 512},
                                             {"EFI PART"sv, 4096},
                                             {"\x53\xef"sv, 1080},
                                             {"CD001"sv, 32769},
                                             {"_BHRfS_M"sv, 65600},
                                             {"XFSB"sv},
                                             {"hsqs"sv},
                                             {"\x10\x20\xf5\xf2"sv, 1024}}};

std::string first_bytes(const std::filesystem::path& file) {
    std::string bytes(piece_size, '\0');
    bytes.resize(open_unpacking(file)->read(bytes.data(), bytes.size()));
    return bytes;
}

bool claims_to_be_packed(const std::filesystem::path& file) {
    const std::array<std::string_view, 4> endings = {".xz", ".zst", ".zstd", ".gz"};
    return std::find(endings.begin(), endings.end(), file.extension()) != endings.end();
}

}  // namespace

std::optional<std::string> image_refusal(const std::filesystem::path& file, bool any_content) {
    const std::string name = file.string();
    const std::string content = first_bytes(file);
    if (content.empty()) return name + " is empty: fetch it again";
    if (any_content) return std::nullopt;
    const auto is_here = [&](const auto& mark) { return mark.is_in(content); };
    for (const Wrapping& wrapping : wrappings) {
        if (is_here(wrapping.mark))
            return name + " is " + wrapping.name + ", no disk image: unpack it first with \"" + wrapping.program + "\"";
    }
    if (claims_to_be_packed(file) && !is_packed(file))
        return name + " is no " + file.extension().string() + " file, though its name says so: fetch it again";
    if (std::any_of(beginnings.begin(), beginnings.end(), is_here)) return std::nullopt;
    return name + " is no disk image: it has no partition table; --any-content writes it all the same";
}

}  // namespace makina
