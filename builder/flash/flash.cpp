#include "builder/flash/flash.hpp"

#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <string_view>
#include <vector>

#include "builder/flash/crew.hpp"
#include "builder/flash/probe.hpp"
#include "firstboot/bundle/digest.hpp"

namespace makina {
namespace {

constexpr std::uint64_t block = Medium::block;
/// No card's own cache holds more than half of this; what lies so far back is answered by its memory.
constexpr std::uint64_t beyond_caches = std::uint64_t{128} << 20;
/// After so many bytes they are brought to the medium while more are written: a medium that only takes note of what it
/// gets would otherwise write for seconds when everything was sent.
constexpr std::uint64_t settled_at_once = std::uint64_t{64} << 20;
/// So many pieces of zeros wait at most.
constexpr std::size_t most_waiting = 64;

/// Tells whether what is read back is what was written. SHA-256, which names the image, would take as long as all the
/// rest: XXH3 runs at the memory's speed, and with a key of chance no card was made for it.
class Likeness {
  public:
    using Value = XXH128_hash_t;
    [[nodiscard]] Value of(std::string_view data) const {
        return XXH3_128bits_withSeed(data.data(), data.size(), key_);
    }
    [[nodiscard]] bool is_of(std::string_view data, const Value& value) const {
        return XXH128_isEqual(of(data), value) != 0;
    }

  private:
    std::uint64_t key_ = std::uint64_t{std::random_device{}()} << 32 | std::random_device{}();
};

struct Written {
    Piece piece;
    std::string hash;            ///< SHA-256, hex; empty for zeros
    Likeness::Value likeness{};  ///< not of zeros
};

/// One image on its way to one medium. Threads that hang keep it alive.
class Flashing : public std::enable_shared_from_this<Flashing> {
  public:
    Flashing(std::shared_ptr<Source> source, std::shared_ptr<Medium> medium, const FlashOptions& options)
        : source_(std::move(source)), medium_(std::move(medium)), options_(options), head_(piece_size, '\0') {
        if (medium_->is_file()) options_.stall_seconds *= 10;
    }

    Flashed run();
    /// After a fault: makes sure that nothing can be booted. Gives the state of the medium, for people.
    std::string condemn(bool hangs);

  private:
    void require_same(const char* when);
    /// Lets a thread do it, so that a medium that hangs does not hang us.
    void guarded(FlashPhase phase, const std::function<void(Flashing&)>& work, bool interruptible = true);
    /// The same as long as it gives true: a slow medium has to move only that far in the time that it has.
    void in_steps(FlashPhase phase, const std::function<bool(Flashing&)>& step, bool interruptible = true);
    void at_marks(FlashPhase phase, std::vector<std::uint64_t> marks,
                  const std::function<void(Flashing&, std::uint64_t mark)>& work);
    void begin();
    void empty_head();
    void empty_tail();
    void prepare();
    void write();
    bool write_step(char* buffer);
    [[nodiscard]] std::optional<Piece> next_piece(char* buffer);
    void make_zero(const Piece& piece, char* buffer);
    void note_sent(std::uint64_t bytes);
    void note_written(Written written);
    void settle();
    bool write_filler();
    void verify();
    void check_marks();
    void erase_mark(std::uint64_t mark);
    bool verify_step(char* buffer);
    void finish();
    void read_head_back(char* buffer);
    [[nodiscard]] std::uint64_t end() const { return (size_ + block - 1) / block * block; }
    [[nodiscard]] std::uint64_t head_size() const { return std::min(piece_size, medium_->size()); }
    [[nodiscard]] std::string digest() const;

    std::shared_ptr<Source> source_;
    std::shared_ptr<Medium> medium_;
    FlashOptions options_;
    std::optional<std::uint64_t> sequence_;
    std::string head_;  ///< the image's first MiB, kept for the end
    Likeness likeness_;
    std::mutex source_mutex_, pieces_mutex_;
    std::deque<Piece> zeros_;  ///< not looked at yet; with the source's mutex, as is how many threads are at some
    unsigned zeroing_ = 0;
    std::vector<Written> pieces_;  ///< all but those of the head
    std::vector<Written> head_pieces_;
    std::atomic<std::uint64_t> sent_ = 0;       ///< bytes behind the first MiB, since the marks were written
    std::atomic<std::uint64_t> unsettled_ = 0;  ///< bytes sent since the last of them were brought to the medium
    std::uint64_t filler_at_ = 0;
    std::optional<CapacityProbe> probe_;
    std::uint64_t size_ = 0;  ///< of the image
    std::size_t verify_at_ = 0;
    std::atomic<std::uint64_t> verified_ = 0;
    std::uint64_t to_verify_ = 0;
    /// What is in the medium's first MiB.
    enum class Head { old, unknown, empty } at_head_ = Head::old;
};

void Flashing::require_same(const char* when) {
    if (medium_->sequence() == sequence_) return;
    throw Error(medium_->name() + ": another card is in the reader than " + when + ": begin again");
}

void Flashing::guarded(FlashPhase phase, const std::function<void(Flashing&)>& work, bool interruptible) {
    const auto once = [work](Flashing& self) {
        work(self);
        return false;
    };
    in_steps(phase, once, interruptible);
}

void Flashing::in_steps(FlashPhase phase, const std::function<bool(Flashing&)>& step, bool interruptible) {
    FlashOptions options = options_;
    options.in_flight = 1;
    if (!interruptible) options.is_interrupted = [] { return false; };
    const auto self = shared_from_this();
    Crew{options}.run([self, step](char*) { return step(*self); }, [phase] { return FlashProgress{phase, 0, 0}; });
}

void Flashing::at_marks(FlashPhase phase, std::vector<std::uint64_t> marks,
                        const std::function<void(Flashing&, std::uint64_t mark)>& work) {
    std::reverse(marks.begin(), marks.end());
    // Its thread may outlive this call.
    const auto left = std::make_shared<std::vector<std::uint64_t>>(std::move(marks));
    in_steps(phase, [left, work](Flashing& self) {
        if (left->empty()) return false;
        work(self, left->back());
        left->pop_back();
        return true;
    });
}

void Flashing::begin() {
    at_head_ = Head::unknown;
    if (medium_->begin() != 0) throw_system("emptying " + medium_->name());
    empty_head();
}

/// The block with the partition table goes first, for machines that are switched off just then.
void Flashing::empty_head() {
    const AlignedBuffer zeros(piece_size);
    std::memset(zeros.data(), 0, piece_size);
    at_head_ = Head::unknown;
    write_whole(*medium_, zeros.data(), block, 0);
    write_whole(*medium_, zeros.data(), head_size(), 0);
    sync_medium(*medium_);
    at_head_ = Head::empty;
}

/// A backup of an old GPT, and signatures of RAID, LVM and ZFS, lie at the end.
void Flashing::empty_tail() {
    const AlignedBuffer zeros(piece_size);
    std::memset(zeros.data(), 0, piece_size);
    write_whole(*medium_, zeros.data(), head_size(), medium_->size() - head_size());
    sync_medium(*medium_);
}

/// The old image goes first, so that what follows can stop at any moment.
void Flashing::prepare() {
    const std::uint64_t known = source_->size().value_or(0);
    if (known > medium_->size()) {
        throw Error("the image has " + std::to_string(known) + " bytes, but " + medium_->name() + " only " +
                    std::to_string(medium_->size()));
    }
    constexpr FlashPhase phase = FlashPhase::preparing;
    guarded(phase, [](Flashing& self) { self.begin(); });
    if (medium_->is_file()) return;
    guarded(phase, [](Flashing& self) { self.empty_tail(); });
    if (!options_.probe) return;
    probe_.emplace(*medium_);
    (void)probe_->add(known);
    at_marks(phase, probe_->marks(), [](Flashing& self, std::uint64_t mark) { self.probe_->write(mark); });
    guarded(phase, [](Flashing& self) { sync_and_forget(*self.medium_); });
    at_marks(phase, probe_->marks(), [](Flashing& self, std::uint64_t mark) { self.probe_->check(mark); });
}

/// What must be zero is read first, and whoever reads does not write: while data is left, one thread reads and the
/// others go on writing.
std::optional<Piece> Flashing::next_piece(char* buffer) {
    const std::lock_guard<std::mutex> guard(source_mutex_);
    while (zeros_.empty() || (zeroing_ != 0 && zeros_.size() < most_waiting)) {
        std::optional<Piece> piece = source_->next(buffer);
        if (!piece) break;
        if (!piece->zero) return piece;
        zeros_.push_back(*piece);
    }
    if (zeros_.empty()) return std::nullopt;
    const Piece piece = zeros_.front();
    zeros_.pop_front();
    ++zeroing_;
    return piece;
}

void Flashing::make_zero(const Piece& piece, char* buffer) {
    // The first MiB is written from memory, where it is zero already.
    if (piece.offset >= piece_size) note_sent(zero_range(*medium_, piece.offset, piece.size, buffer));
    const std::lock_guard<std::mutex> guard(source_mutex_);
    --zeroing_;
}

bool Flashing::write_step(char* buffer) {
    const std::optional<Piece> piece = next_piece(buffer);
    if (!piece) return false;
    if (piece->offset + piece->size > medium_->size())
        throw Error("the image is larger than the " + std::to_string(medium_->size()) + " bytes of " + medium_->name());
    const bool in_head = piece->offset < piece_size;
    Written written{*piece, {}};
    if (!piece->zero) {
        source_->fill(*piece, buffer);
        written.hash = sha256({buffer, piece->size});
        written.likeness = likeness_.of({buffer, piece->size});
        if (!in_head) {
            write_whole(*medium_, buffer, piece->size, piece->offset);
            note_sent(piece->size);
        }
    } else {
        make_zero(*piece, buffer);
    }
    if (in_head && !piece->zero) std::memcpy(&head_[piece->offset], buffer, piece->size);
    note_written(std::move(written));
    return true;
}

void Flashing::note_sent(std::uint64_t bytes) {
    sent_ += bytes;
    if ((unsettled_ += bytes) < settled_at_once) return;
    unsettled_ = 0;
    sync_medium(*medium_);
}

void Flashing::note_written(Written written) {
    const std::lock_guard<std::mutex> guard(pieces_mutex_);
    (written.piece.offset < piece_size ? head_pieces_ : pieces_).push_back(std::move(written));
}

void Flashing::write() {
    const auto self = shared_from_this();
    Crew{options_}.run([self](char* buffer) { return self->write_step(buffer); },
                       [&] {
                           return FlashProgress{FlashPhase::writing, source_->done(), source_->total()};
                       });
    if (!source_->size()) throw Error("the image's end was not found");
    size_ = *source_->size();
    const auto by_offset = [](const Written& a, const Written& b) { return a.piece.offset < b.piece.offset; };
    std::sort(pieces_.begin(), pieces_.end(), by_offset);
    std::sort(head_pieces_.begin(), head_pieces_.end(), by_offset);
    for (const Written& written : pieces_) to_verify_ += written.piece.size;
}

void Flashing::settle() {
    constexpr FlashPhase phase = FlashPhase::writing;
    if (probe_ && probe_->add(size_)) {
        // The image has said only now where it ends.
        guarded(phase, [mark = end()](Flashing& self) { self.probe_->write(mark); });
    }
    filler_at_ = end() / piece_size * piece_size + piece_size;
    if (probe_) in_steps(phase, [](Flashing& self) { return self.write_filler(); });
    guarded(phase, [](Flashing& self) { sync_and_forget(*self.medium_); });
}

/// What was sent could be answered from a card's cache alone if it is little: other bytes push it out, behind the
/// image, where no mark is. A piece at a time; false if no more of them are needed, or have room.
bool Flashing::write_filler() {
    if (sent_ + piece_size > beyond_caches || filler_at_ + 2 * piece_size > medium_->size()) return false;
    const std::uint64_t at = filler_at_;
    filler_at_ += piece_size;
    const auto mark = std::lower_bound(probe_->marks().begin(), probe_->marks().end(), at);
    if (mark != probe_->marks().end() && *mark < at + piece_size) return true;
    const AlignedBuffer filler(piece_size);
    std::memset(filler.data(), 0xa5, piece_size);
    write_whole(*medium_, filler.data(), piece_size, at);
    note_sent(piece_size);
    return true;
}

bool Flashing::verify_step(char* buffer) {
    const Written* written = nullptr;
    {
        const std::lock_guard<std::mutex> guard(pieces_mutex_);
        if (verify_at_ == pieces_.size()) return false;
        written = &pieces_[verify_at_++];
    }
    const Piece& piece = written->piece;
    read_whole(*medium_, buffer, piece.size, piece.offset);
    const bool is_same =
        piece.zero ? is_zero(buffer, piece.size) : likeness_.is_of({buffer, piece.size}, written->likeness);
    if (!is_same) {
        throw Error("what " + medium_->name() + " gives back at byte " + std::to_string(piece.offset) +
                    " is not what was written: the card or the reader is bad");
    }
    verified_ += piece.size;
    return true;
}

void Flashing::verify() {
    const auto self = shared_from_this();
    Crew{options_}.run([self](char* buffer) { return self->verify_step(buffer); },
                       [&] {
                           return FlashProgress{FlashPhase::verifying, verified_, to_verify_};
                       });
}

void Flashing::check_marks() {
    if (!probe_) return;
    std::vector<Extent> covered;
    for (const Written& written : pieces_) covered.push_back({written.piece.offset, written.piece.size});
    covered = in_order(std::move(covered));
    std::vector<std::uint64_t> marks;
    for (const std::uint64_t mark : probe_->marks()) {
        if (in_both(covered, {{mark, block}}).empty()) marks.push_back(mark);
    }
    constexpr FlashPhase phase = FlashPhase::verifying;
    at_marks(phase, marks, [](Flashing& self, std::uint64_t mark) { self.probe_->check(mark); });
    at_marks(phase, marks, [](Flashing& self, std::uint64_t mark) { self.erase_mark(mark); });
}

void Flashing::erase_mark(std::uint64_t mark) {
    const AlignedBuffer zeros(block);
    std::memset(zeros.data(), 0, block);
    write_whole(*medium_, zeros.data(), block, mark);
}

void Flashing::read_head_back(char* buffer) {
    read_whole(*medium_, buffer, head_size(), 0);
    if (std::memcmp(buffer, head_.data(), head_size()) != 0)
        throw Error("the first MiB of " + medium_->name() + " is not as it was written: the card or the reader is bad");
    if (medium_->is_file()) return;
    const std::uint64_t tail = std::max(end(), medium_->size() - head_size());
    if (tail >= medium_->size()) return;
    read_whole(*medium_, buffer, medium_->size() - tail, tail);
    if (!is_zero(buffer, medium_->size() - tail))
        throw Error("the last MiB of " + medium_->name() + " is not empty: the card or the reader is bad");
}

/// The block with the partition table is a write of its own: with it the medium becomes one that boots. A file has its
/// whole length by then.
void Flashing::finish() {
    const AlignedBuffer buffer(piece_size);
    std::memcpy(buffer.data(), head_.data(), piece_size);
    at_head_ = Head::unknown;
    if (head_size() > block) write_whole(*medium_, buffer.data() + block, head_size() - block, block);
    sync_medium(*medium_);
    if (medium_->resize(size_) != 0) throw_system("giving its size to " + medium_->name());
    require_same("when it was written");
    write_whole(*medium_, buffer.data(), block, 0);
    sync_and_forget(*medium_);
    read_head_back(buffer.data());
    // An image may be shorter than a block.
    if (medium_->resize(size_) != 0) throw_system("giving its size to " + medium_->name());
    require_same("when it was written");
}

std::string Flashing::digest() const {
    Sha256 hash;
    for (const std::vector<Written>* const part : {&head_pieces_, &pieces_}) {
        for (const Written& written : *part) {
            const Piece& piece = written.piece;
            hash.update(std::to_string(piece.offset) + " " + std::to_string(piece.size) + " " +
                        (piece.zero ? "zero" : written.hash) + "\n");
        }
    }
    return hash.hex();
}

Flashed Flashing::run() {
    using Clock = std::chrono::steady_clock;
    const auto seconds = [](Clock::time_point from, Clock::time_point to) {
        return std::chrono::duration<double>(to - from).count();
    };
    const auto started = Clock::now();
    sequence_ = options_.sequence ? options_.sequence : medium_->sequence();
    require_same("when it was chosen");
    prepare();
    require_same("when it was chosen");
    write();
    settle();
    const auto wrote = Clock::now();
    require_same("when it was written");
    verify();
    require_same("when it was written");
    check_marks();
    guarded(
        FlashPhase::finishing, [](Flashing& self) { self.finish(); }, false);
    Flashed flashed;
    flashed.size = size_;
    for (const std::vector<Written>* const part : {&head_pieces_, &pieces_}) {
        for (const Written& written : *part)
            (written.piece.zero ? flashed.zeroed : flashed.written) += written.piece.size;
    }
    flashed.digest = digest();
    flashed.write_seconds = seconds(started, wrote);
    flashed.verify_seconds = seconds(wrote, Clock::now());
    return flashed;
}

std::string Flashing::condemn(bool hangs) {
    const char* const empty = "it does not boot: its first MiB is empty";
    if (at_head_ == Head::old) return "nothing was written to it";
    const bool was_empty = at_head_ == Head::empty;
    if (was_empty && hangs) return empty;
    if (hangs) return "and its first MiB could not be emptied: do not use it";
    // What is in the reader now may be somebody else's.
    if (medium_->sequence() != sequence_)
        return was_empty ? "the one that was taken out does not boot"
                         : "the one that was taken out is not verified: do not use it";
    try {
        // Once more if it was: a card with less memory than it claims puts other things there.
        guarded(
            FlashPhase::finishing, [](Flashing& self) { self.empty_head(); }, false);
        return empty;
    } catch (const Error& error) {
        if (was_empty) return empty;
        return std::string("and its first MiB could not be emptied (") + error.what() + "): do not use it";
    }
}

}  // namespace

std::string to_string(FlashPhase phase) {
    switch (phase) {
        case FlashPhase::preparing:
            return "prepare";
        case FlashPhase::writing:
            return "write";
        case FlashPhase::verifying:
            return "verify";
        case FlashPhase::finishing:
            return "finish";
    }
    throw Error("an unknown phase");
}

Flashed flash(const std::shared_ptr<Source>& source, const std::shared_ptr<Medium>& medium,
              const FlashOptions& options) {
    const auto flashing = std::make_shared<Flashing>(source, medium, options);
    try {
        return flashing->run();
    } catch (const Untrusted& error) {
        throw Untrusted(std::string(error.what()) + "; " + flashing->condemn(false));
    } catch (const Stalled& error) {
        throw Error(std::string(error.what()) + "; " + flashing->condemn(true));
    } catch (const std::exception& error) {
        throw Error(std::string(error.what()) + "; " + flashing->condemn(false));
    }
}

}  // namespace makina
