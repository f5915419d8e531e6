#include "builder/flash/bmap.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

/// In a map of ours, whose own checksum covers it. bmaptool passes over comments.
constexpr std::string_view rest_is_free = "<!-- made by makina-image: what no range names is free -->";

/// One element as these files have them: no element of the same name is inside another.
struct Element {
    std::string_view attributes, text;
};

std::string_view trimmed(std::string_view text) {
    const std::string_view blank = " \t\r\n";
    const std::size_t begin = text.find_first_not_of(blank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

/// The next element of that name; `text` is cut behind it.
std::optional<Element> take(std::string_view& text, const std::string& name) {
    for (std::size_t at = text.find("<" + name); at != std::string_view::npos; at = text.find("<" + name, at + 1)) {
        const char behind = at + name.size() + 1 < text.size() ? text[at + name.size() + 1] : '\0';
        if (behind != '>' && behind != ' ') continue;
        const std::size_t open = text.find('>', at);
        const std::size_t close = text.find("</" + name + ">", at);
        if (open == std::string_view::npos || close == std::string_view::npos || close < open) break;
        const std::size_t attributes = at + name.size() + 1;
        const Element element{text.substr(attributes, open - attributes),
                              trimmed(text.substr(open + 1, close - open - 1))};
        text.remove_prefix(close + name.size() + 3);
        return element;
    }
    return std::nullopt;
}

std::string_view attribute(std::string_view attributes, const std::string& name) {
    const std::size_t at = attributes.find(name + "=\"");
    if (at == std::string_view::npos) return {};
    const std::size_t begin = at + name.size() + 2;
    return attributes.substr(begin, attributes.find('"', begin) - begin);
}

std::uint64_t number(std::string_view text, const char* what) {
    std::uint64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size())
        throw Error(std::string("the block map's ") + what + " is no number");
    return value;
}

std::string_view require(std::string_view text, const std::string& name) {
    const std::optional<Element> element = take(text, name);
    if (!element) throw Error("the block map has no " + name + ": is it a .bmap file?");
    return element->text;
}

std::string hash_of(std::string_view text) {
    return sha256(text);
}

/// The map's own checksum is that of the file with zeros in its place.
void check_own(std::string_view text, std::string_view hash) {
    std::string blank(text);
    const std::size_t at = static_cast<std::size_t>(hash.data() - text.data());
    blank.replace(at, hash.size(), std::string(hash.size(), '0'));
    if (hash_of(blank) != hash) throw Untrusted("the block map's checksum is wrong: fetch it again");
}

BlockMap::Range read_range(const Element& element, std::uint64_t block, const BlockMap& map, bool with_hash) {
    const std::size_t dash = element.text.find('-');
    const std::uint64_t first = number(trimmed(element.text.substr(0, dash)), "range");
    const std::uint64_t last =
        dash == std::string_view::npos ? first : number(trimmed(element.text.substr(dash + 1)), "range");
    const std::uint64_t blocks = (map.size + block - 1) / block;
    const bool ascends = map.ranges.empty() || first * block >= map.ranges.back().bytes.end();
    if (first > last || last >= blocks || !ascends) throw Error("the block map's ranges are not in order");
    BlockMap::Range range;
    range.bytes = {first * block, std::min((last + 1) * block, map.size) - first * block};
    if (with_hash) range.sha256 = attribute(element.attributes, "chksum");
    if (with_hash && range.sha256.size() != 64) throw Error("a range of the block map has no SHA-256");
    return range;
}

/// What kind of checksums it has; maps before 1.4 had SHA-1 and did not say so (BmapCopy.py). Empty: none.
std::string checksums_of(std::string_view text) {
    std::string_view rest = text;
    if (const std::optional<Element> type = take(rest, "ChecksumType")) return std::string(type->text);
    const bool is_old =
        text.find("<BmapFileSHA1>") != std::string_view::npos || text.find(" sha1=\"") != std::string_view::npos;
    return is_old ? "sha1" : "";
}

}  // namespace

BlockMap read_block_map(std::string_view text) {
    const std::string_view whole = text;
    const std::optional<Element> top = take(text, "bmap");
    if (!top) throw Error("no block map: is it a .bmap file?");
    const std::string_view version = attribute(top->attributes, "version");
    if (version.rfind("1.", 0) != 0 && version != "2.0")
        throw Error("a block map of version \"" + std::string(version) + "\": known are 1.2 to 2.0");
    BlockMap map;
    map.size = number(require(top->text, "ImageSize"), "ImageSize");
    const std::uint64_t block = number(require(top->text, "BlockSize"), "BlockSize");
    if (block == 0 || block % 4096 != 0 || map.size > std::uint64_t{1} << 50)
        throw Error("the block map's blocks are no multiple of 4096 bytes");
    const std::string checksums = checksums_of(top->text);
    const bool with_hash = checksums == "sha256";
    if (!with_hash) map.unchecked = checksums;
    map.rest_is_free = with_hash && top->text.find(rest_is_free) != std::string_view::npos;
    if (with_hash) check_own(whole, require(top->text, "BmapFileChecksum"));
    std::string_view ranges = require(top->text, "BlockMap");
    while (const std::optional<Element> element = take(ranges, "Range"))
        map.ranges.push_back(read_range(*element, block, map, with_hash));
    return map;
}

std::string make_block_map(PatchedImage& image) {
    constexpr std::uint64_t block = 4096;
    std::string ranges;
    std::uint64_t mapped = 0;
    std::string buffer(1 << 20, '\0');
    // What must be zero counts as needed: bmaptool leaves alone what no range names.
    std::vector<Extent> needed = used_by_image(image);
    for (Extent& extent : needed) {
        const std::uint64_t begin = extent.offset / block * block;
        extent = {begin, (extent.end() - begin + block - 1) / block * block};
    }
    for (const Extent& extent : in_order(std::move(needed))) {
        const std::uint64_t end = std::min(extent.end(), image.size());
        Sha256 hash;
        for (std::uint64_t at = extent.offset; at < end;) {
            const std::uint64_t part = std::min<std::uint64_t>(buffer.size(), end - at);
            image.read(at, buffer.data(), part);
            hash.update({buffer.data(), part});
            at += part;
        }
        const std::uint64_t first = extent.offset / block;
        const std::uint64_t last = (end - 1) / block;
        mapped += last - first + 1;
        ranges += "        <Range chksum=\"" + hash.hex() + "\"> " + std::to_string(first) +
                  (first == last ? "" : "-" + std::to_string(last)) + " </Range>\n";
    }
    const auto map = [&](const std::string& own) {
        return "<?xml version=\"1.0\" ?>\n<bmap version=\"2.0\">\n    " + std::string(rest_is_free) +
               "\n    <ImageSize> " + std::to_string(image.size()) + " </ImageSize>\n    <BlockSize> " +
               std::to_string(block) + " </BlockSize>\n    <BlocksCount> " +
               std::to_string((image.size() + block - 1) / block) + " </BlocksCount>\n    <MappedBlocksCount> " +
               std::to_string(mapped) +
               " </MappedBlocksCount>\n    <ChecksumType> sha256 </ChecksumType>\n    <BmapFileChecksum> " + own +
               " </BmapFileChecksum>\n    <BlockMap>\n" + ranges + "    </BlockMap>\n</bmap>\n";
    };
    return map(hash_of(map(std::string(64, '0'))));
}

}  // namespace makina
