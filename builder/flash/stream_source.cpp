#include <algorithm>
#include <cstring>

#include "builder/flash/crew.hpp"
#include "builder/flash/source.hpp"
#include "builder/flash/unpack.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr std::uint64_t block = Medium::block;
/// Zeros between data are data if they are fewer: a card takes one long write faster than two and a look in between,
/// and there is less to keep in mind of an image in small pieces.
constexpr std::uint64_t fewest_zeros = std::uint64_t{64} << 10;

/// What has to be on a card: of a raw image what its file systems use, of a packed one what the map does not know to be
/// free.
std::vector<Extent> needed_of(const std::filesystem::path& file, const std::optional<BlockMap>& map) {
    std::vector<Extent> needed;
    if (!is_packed(file)) {
        PatchedImage image(file);
        needed = used_by_image(image);
    } else if (map && map->rest_is_free) {
        for (const BlockMap::Range& range : map->ranges) needed.push_back(range.bytes);
    } else {
        return {{0, UINT64_MAX / block * block}};
    }
    for (Extent& extent : needed) {
        const std::uint64_t begin = extent.offset / block * block;
        extent = {begin, (extent.end() - begin + block - 1) / block * block};
    }
    return in_order(std::move(needed));
}

/// The checksums of a block map, computed as the bytes pass by.
class RangeSums {
  public:
    explicit RangeSums(const std::vector<BlockMap::Range>& ranges) : ranges_(ranges) {}

    /// Bytes come in order; those outside of the ranges are passed over.
    void pass(std::uint64_t offset, std::string_view bytes) {
        while (at_ < ranges_.size() && !bytes.empty()) {
            const Extent& range = ranges_[at_].bytes;
            const std::uint64_t begin = std::max(offset, range.offset);
            const std::uint64_t end = std::min(offset + bytes.size(), range.end());
            if (begin < end) add(bytes.substr(begin - offset, end - begin));
            if (offset + bytes.size() < range.end()) return;
            finish();
        }
    }
    [[nodiscard]] bool is_complete() const { return at_ == ranges_.size(); }

  private:
    void add(std::string_view bytes) {
        if (ranges_[at_].sha256.empty()) return;
        if (!sum_) sum_.emplace();
        sum_->update(bytes);
    }
    void finish() {
        const BlockMap::Range& range = ranges_[at_++];
        if (range.sha256.empty()) return;
        const std::string found = sum_->hex();
        sum_.reset();
        if (found == range.sha256) return;
        throw Untrusted("bytes " + std::to_string(range.bytes.offset) + " to " + std::to_string(range.bytes.end() - 1) +
                        " of the image are not those of its block map");
    }

    const std::vector<BlockMap::Range>& ranges_;
    std::size_t at_ = 0;
    std::optional<Sha256> sum_;
};

class StreamSource : public Source {
  public:
    StreamSource(const std::filesystem::path& file, std::optional<BlockMap> map)
        : file_(open_unpacking(file)), map_(std::move(map)), needed_(needed_of(file, map_)), bytes_(piece_size) {
        if (map_) sums_.emplace(map_->ranges);
    }
    [[nodiscard]] std::optional<std::uint64_t> size() const override {
        if (map_) return map_->size;
        return at_end_ ? std::optional(read_) : std::nullopt;
    }
    [[nodiscard]] std::uint64_t total() const override { return file_->total(); }
    [[nodiscard]] std::uint64_t done() const override { return file_->done(); }
    [[nodiscard]] std::optional<Piece> next(char* data) override {
        while (waiting_.empty()) {
            if (at_end_) return std::nullopt;
            read_more();
        }
        const Piece piece = waiting_.back();
        waiting_.pop_back();
        if (!piece.zero) std::memcpy(data, bytes_.data() + piece.offset % piece_size, piece.size);
        return piece;
    }
    void fill(const Piece&, char*) const override {}

  private:
    void read_more() {
        const std::uint64_t offset = read_;
        const std::size_t got = file_->read(bytes_.data(), piece_size);
        read_ += got;
        at_end_ = got < piece_size;
        if (sums_) sums_->pass(offset, {bytes_.data(), got});
        if (at_end_) check_end();
        const std::uint64_t size = (got + block - 1) / block * block;
        std::memset(bytes_.data() + got, 0, size - got);
        for (const Extent& part : in_both(needed_, {{offset, size}})) cut(part);
        std::reverse(waiting_.begin(), waiting_.end());
    }
    void check_end() const {
        if (read_ == 0) throw Error("the image is empty");
        if (!map_) return;
        if (read_ != map_->size || !sums_->is_complete())
            throw Error("the image has " + std::to_string(read_) + " bytes, but its block map is for one of " +
                        std::to_string(map_->size));
    }
    /// Runs of blocks that are zero, and runs of blocks that are not.
    void cut(const Extent& part) {
        const std::size_t first = waiting_.size();
        for (std::uint64_t at = part.offset; at < part.end(); at += block) {
            const bool zero = is_zero(bytes_.data() + at % piece_size, block);
            const bool joins = !zero && waiting_.size() >= first + 2 && waiting_.back().size < fewest_zeros;
            if (joins && waiting_.back().zero) {
                waiting_.pop_back();
                waiting_.back().size = at - waiting_.back().offset;
            }
            if (waiting_.size() == first || waiting_.back().zero != zero) {
                waiting_.push_back({at, block, zero});
            } else {
                waiting_.back().size += block;
            }
        }
    }

    std::unique_ptr<Unpacking> file_;
    std::optional<BlockMap> map_;
    std::optional<RangeSums> sums_;
    std::vector<Extent> needed_;
    AlignedBuffer bytes_;
    std::vector<Piece> waiting_;  ///< of the bytes that are here, the first one last
    std::uint64_t read_ = 0;
    bool at_end_ = false;
};

}  // namespace

std::shared_ptr<Source> stream_source(const std::filesystem::path& file, std::optional<BlockMap> map) {
    return std::make_shared<StreamSource>(file, std::move(map));
}

}  // namespace makina
