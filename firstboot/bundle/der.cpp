#include "firstboot/bundle/der.hpp"

#include "firstboot/bundle/error.hpp"

namespace makina {

void Der::refuse() const {
    throw Untrusted("the seal is not strict DER: " + part_);
}

void Der::end() const {
    if (!rest_.empty()) refuse();
}

bool Der::follows(unsigned char tag) const {
    return !rest_.empty() && static_cast<unsigned char>(rest_.front()) == tag;
}

Der::Extent Der::extent(unsigned char tag) const {
    if (!follows(tag) || rest_.size() < 2) refuse();
    const auto byte = [&](std::size_t at) { return static_cast<std::size_t>(static_cast<unsigned char>(rest_[at])); };
    Extent extent{2, byte(1)};
    if (extent.length >= 0x80) {
        // 0x80 alone would be BER's indefinite length. Nothing here has more than 3 bytes of length.
        const std::size_t more = extent.length & 0x7f;
        if (more == 0 || more > 3 || rest_.size() < 2 + more) refuse();
        extent = {2 + more, 0};
        for (std::size_t i = 0; i < more; ++i) extent.length = extent.length << 8 | byte(2 + i);
        if (extent.length < 0x80 || extent.length >> (8 * (more - 1)) == 0) refuse();
    }
    if (rest_.size() - extent.header < extent.length) refuse();
    return extent;
}

std::string_view Der::element(unsigned char tag) {
    const Extent found = extent(tag);
    const std::string_view whole = rest_.substr(0, found.header + found.length);
    rest_.remove_prefix(whole.size());
    return whole;
}

std::string_view Der::content(unsigned char tag) {
    const Extent found = extent(tag);
    return element(tag).substr(found.header);
}

}  // namespace makina
