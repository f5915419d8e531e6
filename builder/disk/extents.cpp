#include <algorithm>

#include "builder/disk/disk.hpp"

namespace makina {

std::vector<Extent> in_order(std::vector<Extent> extents) {
    std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) { return a.offset < b.offset; });
    std::vector<Extent> joined;
    for (const Extent& extent : extents) {
        if (extent.size == 0) continue;
        if (joined.empty() || extent.offset > joined.back().end()) {
            joined.push_back(extent);
        } else {
            joined.back().size = std::max(joined.back().end(), extent.end()) - joined.back().offset;
        }
    }
    return joined;
}

std::vector<Extent> in_both(const std::vector<Extent>& a, const std::vector<Extent>& b) {
    std::vector<Extent> both;
    for (auto left = a.begin(), right = b.begin(); left != a.end() && right != b.end();) {
        const std::uint64_t begin = std::max(left->offset, right->offset);
        const std::uint64_t end = std::min(left->end(), right->end());
        if (begin < end) both.push_back({begin, end - begin});
        left->end() < right->end() ? ++left : ++right;
    }
    return both;
}

std::vector<Extent> without(const std::vector<Extent>& a, const std::vector<Extent>& b) {
    std::vector<Extent> left;
    auto hole = b.begin();
    for (const Extent& extent : a) {
        std::uint64_t at = extent.offset;
        while (hole != b.end() && hole->end() <= at) ++hole;
        for (auto next = hole; next != b.end() && next->offset < extent.end(); ++next) {
            if (next->offset > at) left.push_back({at, next->offset - at});
            at = std::max(at, next->end());
        }
        if (at < extent.end()) left.push_back({at, extent.end() - at});
    }
    return left;
}

std::uint64_t size_of(const std::vector<Extent>& extents) {
    std::uint64_t size = 0;
    for (const Extent& extent : extents) size += extent.size;
    return size;
}

}  // namespace makina
