#include "tests/flash/card_model.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace makina::flashing {

int CardModel::answered(Call call) {
    const std::size_t number = calls_++;
    ++by_call_[call];
    const int failed = fault(call, number);
    if (failed <= 0) return failed == 0 ? 1 : 0;
    errno = failed;
    return -1;
}

void CardModel::remember(std::uint64_t offset, const char* data) {
    if (character_.cache == 0) return;
    if (const auto found = cached_.find(offset); found != cached_.end()) recent_.erase(found->second.second);
    recent_.push_front(offset);
    cached_[offset] = {std::string(data, block), recent_.begin()};
    while (recent_.size() > character_.cache / block) {
        cached_.erase(recent_.back());
        recent_.pop_back();
    }
}

void CardModel::store(std::uint64_t offset, const char* data) {
    remember(offset, data);
    if (offset >= character_.real) {
        if (character_.beyond != Beyond::wraps) return;
        offset %= character_.real;
    }
    std::memcpy(&memory_[offset], data, block);
}

void CardModel::load(std::uint64_t offset, char* data) {
    if (const auto found = cached_.find(offset); found != cached_.end()) {
        std::memcpy(data, found->second.first.data(), block);
        return;
    }
    if (offset < character_.real || character_.beyond == Beyond::wraps) {
        std::memcpy(data, &memory_[offset % character_.real], block);
    } else {
        std::memset(data, character_.beyond == Beyond::sticks ? 0xff : 0, block);
    }
}

ssize_t CardModel::read(char* data, std::size_t count, std::uint64_t offset) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const int answer = answered(Call::read);
    if (answer < 0) return -1;
    if (answer > 0) count -= 512;
    for (std::uint64_t at = 0; at + block <= count; at += block) load(offset + at, data + at);
    const bool has_lost = lost.from != 0 && calls(Call::forget) >= lost.from;
    if (has_lost && lost.byte >= offset && lost.byte < offset + count)
        data[lost.byte - offset] = static_cast<char>(data[lost.byte - offset] ^ 1 << lost.bit);
    return static_cast<ssize_t>(count);
}

ssize_t CardModel::write(const char* data, std::size_t count, std::uint64_t offset) {
    const std::lock_guard<std::mutex> guard(mutex_);
    const int answer = answered(Call::write);
    if (answer < 0) return -1;
    if (answer > 0) count -= 512;
    for (std::uint64_t at = 0; at + block <= count; at += block) store(offset + at, data + at);
    return static_cast<ssize_t>(count);
}

int CardModel::zero(std::uint64_t offset, std::uint64_t count) {
    const std::lock_guard<std::mutex> guard(mutex_);
    if (!character_.zeroes) {
        errno = EOPNOTSUPP;
        return -1;
    }
    if (answered(Call::zero) < 0) return -1;
    const std::string zeros(block, '\0');
    for (std::uint64_t at = 0; at < count; at += block) store(offset + at, zeros.data());
    return 0;
}

std::optional<std::uint64_t> CardModel::sequence() {
    ++by_call_[Call::sequence];
    (void)fault(Call::sequence, by_call_[Call::sequence]);
    return sequence_;
}

std::shared_ptr<MadeUpSource> made_up_image() {
    constexpr std::uint64_t kib = 1024;
    return std::make_shared<MadeUpSource>(3 * 1024 * kib - 512, std::vector<Piece>{{0, 4 * kib, false},
                                                                                   {64 * kib, 8 * kib, true},
                                                                                   {512 * kib, 16 * kib, false},
                                                                                   {1024 * kib, 4 * kib, false},
                                                                                   {1100 * kib, 64 * kib, true},
                                                                                   {1300 * kib, 32 * kib, false},
                                                                                   {2048 * kib, 4 * kib, false},
                                                                                   {2060 * kib, 4 * kib, true},
                                                                                   {3068 * kib, 4 * kib, false}});
}

bool has_image(const CardModel& card) {
    const auto image = made_up_image();
    for (const Piece& piece : image->pieces()) {
        for (std::uint64_t i = piece.offset; i < piece.offset + piece.size; ++i) {
            if (card.memory()[i] != (piece.zero ? '\0' : MadeUpSource::content(i))) return false;
        }
    }
    return true;
}

FlashOptions quick() {
    FlashOptions options;
    options.in_flight = 1;
    return options;
}

std::string fault_of(const std::shared_ptr<Source>& source, const std::shared_ptr<CardModel>& card,
                     const FlashOptions& options) {
    try {
        (void)flash(source, card, options);
        return "";
    } catch (const Error& error) {
        return error.what();
    }
}

bool sounds_good(const std::string& text) {
    const std::string words[] = {"complete", "done", "success", "finished"};
    return std::any_of(std::begin(words), std::end(words),
                       [&](const std::string& word) { return text.find(word) != std::string::npos; });
}

}  // namespace makina::flashing
