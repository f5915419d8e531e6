#include <algorithm>
#include <atomic>

#include "builder/flash/source.hpp"

namespace makina {
namespace {

/// Whole blocks around each run.
std::vector<Extent> in_blocks(std::vector<Extent> extents) {
    constexpr std::uint64_t block = PatchedImage::block_size;
    for (Extent& extent : extents) {
        const std::uint64_t begin = extent.offset / block * block;
        extent = {begin, (extent.end() - begin + block - 1) / block * block};
    }
    return in_order(std::move(extents));
}

std::vector<Extent> data_of(const PatchedImage& image) {
    std::vector<Extent> data = data_extents(image.descriptor(), 0, image.size());
    for (const auto& changed : image.changed()) data.push_back({changed.first, PatchedImage::block_size});
    return in_blocks(std::move(data));
}

void cut(const std::vector<Extent>& extents, bool zero, std::vector<Piece>& pieces) {
    for (const Extent& extent : extents) {
        for (std::uint64_t at = extent.offset; at < extent.end();) {
            const std::uint64_t end = std::min(extent.end(), (at / piece_size + 1) * piece_size);
            pieces.push_back({at, end - at, zero});
            at = end;
        }
    }
}

class ImageSource : public Source {
  public:
    explicit ImageSource(std::shared_ptr<PatchedImage> image) : image_(std::move(image)) {
        const std::vector<Extent> used = in_blocks(used_by_image(*image_));
        const std::vector<Extent> data = data_of(*image_);
        // Zeros come first, so that there is data left to write while they are read.
        cut(without(used, data), true, pieces_);
        cut(in_both(used, data), false, pieces_);
        for (const Piece& piece : pieces_) total_ += piece.size;
    }
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return image_->size(); }
    [[nodiscard]] std::uint64_t total() const override { return total_; }
    [[nodiscard]] std::uint64_t done() const override { return done_; }
    [[nodiscard]] std::optional<Piece> next(char*) override {
        if (at_ == pieces_.size()) return std::nullopt;
        done_ += pieces_[at_].size;
        return pieces_[at_++];
    }
    void fill(const Piece& piece, char* data) const override { image_->read(piece.offset, data, piece.size); }

  private:
    std::shared_ptr<PatchedImage> image_;
    std::vector<Piece> pieces_;
    std::size_t at_ = 0;
    std::uint64_t total_ = 0;
    std::atomic<std::uint64_t> done_ = 0;
};

}  // namespace

std::shared_ptr<Source> image_source(std::shared_ptr<PatchedImage> image) {
    return std::make_shared<ImageSource>(std::move(image));
}

}  // namespace makina
