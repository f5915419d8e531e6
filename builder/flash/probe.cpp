#include "builder/flash/probe.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "builder/flash/crew.hpp"

namespace makina {
namespace {

constexpr std::uint64_t block = Medium::block;
/// Of marks that lie evenly: a card of 128 GB gets one every 2 GB. Each costs two reads and a write.
constexpr std::uint64_t evenly = 64;

/// xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators, scrambled", 2016.
std::uint64_t scrambled(std::uint64_t& state) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 0x2545f4914f6cdd1dU;
}

/// What a mark at this offset says: nothing that a card could make up, nothing that any other offset says.
void make_mark(std::uint64_t nonce, std::uint64_t offset, char* data) {
    std::uint64_t state = nonce ^ (offset + 1) * 0x9e3779b97f4a7c15U;
    if (state == 0) state = 1;
    for (std::uint64_t at = 0; at < block; at += sizeof state) {
        const std::uint64_t word = scrambled(state);
        std::memcpy(data + at, &word, sizeof word);
    }
}

}  // namespace

CapacityProbe::CapacityProbe(Medium& medium) : medium_(medium) {
    const std::uint64_t size = medium.size();
    if (size < 4 * piece_size) return;
    const std::uint64_t last = size - block;
    marks_ = {size - piece_size, last};
    for (std::uint64_t power = piece_size; power < last; power *= 2) marks_.push_back(power);
    for (std::uint64_t i = 1; i < evenly; ++i) marks_.push_back(size / evenly * i / block * block);
    std::sort(marks_.begin(), marks_.end());
    marks_.erase(std::unique(marks_.begin(), marks_.end()), marks_.end());
    const auto outside = [&](std::uint64_t mark) { return mark < piece_size || mark > last; };
    marks_.erase(std::remove_if(marks_.begin(), marks_.end(), outside), marks_.end());
    if (getrandom(&nonce_, sizeof nonce_, 0) != sizeof nonce_) throw_system("asking for a random number");
}

bool CapacityProbe::add(std::uint64_t image_end) {
    const std::uint64_t mark = (image_end + block - 1) / block * block;
    const auto at = std::lower_bound(marks_.begin(), marks_.end(), mark);
    // The last mark is the last block.
    if (mark < piece_size || at == marks_.end() || *at == mark) return false;
    marks_.insert(at, mark);
    return true;
}

void CapacityProbe::write(std::uint64_t mark) const {
    const AlignedBuffer buffer(block);
    make_mark(nonce_, mark, buffer.data());
    write_whole(medium_, buffer.data(), block, mark);
}

void CapacityProbe::check(std::uint64_t mark) const {
    const AlignedBuffer found(block);
    const AlignedBuffer expected(block);
    read_whole(medium_, found.data(), block, mark);
    make_mark(nonce_, mark, expected.data());
    if (std::memcmp(found.data(), expected.data(), block) == 0) return;
    throw Error("what was written at byte " + std::to_string(mark) + " of " + medium_.name() +
                " did not stay: the card has less memory than the " + std::to_string(medium_.size()) +
                " bytes that it claims, or it is worn out: do not use it");
}

}  // namespace makina
