#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>

#include "builder/flash/flash.hpp"

namespace makina::flashing {

/// The system calls that a card answers.
enum class Call { read, write, sync, zero, forget, sequence };

/// A card in memory that can be dishonest, break, forget, or be changed for another one.
class CardModel : public Medium {
  public:
    /// What a card with less memory than it claims does with the rest.
    enum class Beyond { honest, wraps, drops, sticks };
    struct Character {
        std::uint64_t claimed = 8 << 20;
        std::uint64_t real = 8 << 20;  ///< bytes
        Beyond beyond = Beyond::honest;
        std::uint64_t cache = 0;  ///< bytes written last that are answered from a cache, whether they are there or not
        bool zeroes = false;      ///< makes ranges zero by itself
    };
    explicit CardModel(Character character) : character_(character), memory_(character.real, 'o') {}

    [[nodiscard]] std::string name() const override { return "the model"; }
    [[nodiscard]] std::uint64_t size() const override { return character_.claimed; }
    [[nodiscard]] bool is_file() const override { return false; }
    ssize_t read(char* data, std::size_t count, std::uint64_t offset) override;
    ssize_t write(const char* data, std::size_t count, std::uint64_t offset) override;
    int sync() override { return answered(Call::sync); }
    int zero(std::uint64_t offset, std::uint64_t count) override;
    int forget() override { return answered(Call::forget); }
    std::optional<std::uint64_t> sequence() override;
    int begin() override { return 0; }
    int resize(std::uint64_t) override { return 0; }

    /// Asked at every call, with how many were before it: -1 lets it happen, 0 makes it a short one, anything else is
    /// the errno that it fails with.
    std::function<int(Call call, std::size_t number)> fault = [](Call, std::size_t) { return -1; };
    /// A cell that has lost a bit: it is read wrongly from the so-manieth forget() on.
    struct {
        std::uint64_t byte = 0;
        unsigned bit = 0;
        std::size_t from = 0;  ///< 0: never
    } lost;

    /// What is in the memory, as somebody finds it who takes the card out.
    [[nodiscard]] const std::string& memory() const { return memory_; }
    /// Somebody puts in another card.
    void change(char content) {
        memory_.assign(memory_.size(), content);
        ++sequence_;
    }
    [[nodiscard]] std::size_t calls() const { return calls_; }
    [[nodiscard]] std::size_t calls(Call call) const { return by_call_.count(call) == 0 ? 0 : by_call_.at(call); }
    [[nodiscard]] bool is_bootable() const { return memory_.substr(0, 4096) != std::string(4096, '\0'); }

  private:
    int answered(Call call);
    void store(std::uint64_t offset, const char* data);
    void load(std::uint64_t offset, char* data);
    void remember(std::uint64_t offset, const char* data);

    Character character_;
    std::string memory_;
    std::mutex mutex_;
    std::uint64_t sequence_ = 7;
    std::size_t calls_ = 0;
    std::map<Call, std::size_t> by_call_;
    std::list<std::uint64_t> recent_;  ///< blocks in the cache, the newest first
    std::map<std::uint64_t, std::pair<std::string, std::list<std::uint64_t>::iterator>> cached_;
};

/// An image made up for a test: pieces that are all over it.
class MadeUpSource : public Source {
  public:
    explicit MadeUpSource(std::uint64_t size, std::vector<Piece> pieces) : size_(size), pieces_(std::move(pieces)) {}
    [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
    [[nodiscard]] std::uint64_t total() const override { return pieces_.size(); }
    [[nodiscard]] std::uint64_t done() const override { return at_; }
    [[nodiscard]] std::optional<Piece> next(char*) override {
        if (at_ == pieces_.size()) return std::nullopt;
        return pieces_[at_++];
    }
    void fill(const Piece& piece, char* data) const override {
        for (std::uint64_t i = 0; i < piece.size; ++i) data[i] = content(piece.offset + i);
    }
    static char content(std::uint64_t byte) { return static_cast<char>(byte * 131 + byte / 4096 * 7 + 1); }
    [[nodiscard]] const std::vector<Piece>& pieces() const { return pieces_; }

  private:
    std::uint64_t size_;
    std::vector<Piece> pieces_;
    std::atomic<std::size_t> at_ = 0;
};

/// Image of 3 MiB with data and zeros in the first MiB and behind it.
[[nodiscard]] std::shared_ptr<MadeUpSource> made_up_image();
/// True if the card has all of it.
[[nodiscard]] bool has_image(const CardModel& card);
/// Quick, by one thread, without waiting.
[[nodiscard]] FlashOptions quick();
/// What flash says when it fails; empty if it does not.
[[nodiscard]] std::string fault_of(const std::shared_ptr<Source>& source, const std::shared_ptr<CardModel>& card,
                                   const FlashOptions& options = quick());
/// True if a person could take the text for good news.
[[nodiscard]] bool sounds_good(const std::string& text);

}  // namespace makina::flashing
