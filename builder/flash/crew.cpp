#include "builder/flash/crew.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <mutex>
#include <thread>

namespace makina {
namespace {

/// What the threads of one run share; the last of them frees it.
struct Shift {
    std::function<bool(char*)> step;
    std::atomic<bool> stop = false;
    std::atomic<std::uint64_t> beats = 0;
    std::mutex mutex;
    std::condition_variable changed;
    unsigned working = 0;
    std::exception_ptr fault;
};

void work(const std::shared_ptr<Shift>& shift) {
    std::exception_ptr fault;
    try {
        const AlignedBuffer buffer(piece_size);
        while (!shift->stop && shift->step(buffer.data())) ++shift->beats;
    } catch (...) {
        fault = std::current_exception();
        shift->stop = true;
    }
    const std::lock_guard<std::mutex> guard(shift->mutex);
    if (fault && !shift->fault) shift->fault = fault;
    --shift->working;
    shift->changed.notify_all();
}

[[noreturn]] void throw_transfer(const Medium& medium, const char* doing, std::uint64_t offset) {
    const int number = errno;
    const bool gone = number == ENODEV || number == ENXIO || number == ENOMEDIUM;
    throw Error(std::string(doing) + " " + medium.name() + " at byte " + std::to_string(offset) + ": " +
                system_message(number) + (gone ? " (it was taken out)" : ""));
}

[[noreturn]] void throw_short(const Medium& medium, const char* doing, std::uint64_t offset, ssize_t moved,
                              std::uint64_t count) {
    throw Error(std::string(doing) + " " + medium.name() + " at byte " + std::to_string(offset) + ": only " +
                std::to_string(moved) + " of " + std::to_string(count) + " bytes");
}

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t size)
    : data_(static_cast<char*>(std::aligned_alloc(Medium::block, size)), std::free) {
    if (data_ == nullptr) throw Error("out of memory");
}

void Crew::run(const std::function<bool(char*)>& step, const std::function<FlashProgress()>& progress) const {
    using Clock = std::chrono::steady_clock;
    const auto shift = std::make_shared<Shift>();
    shift->step = step;
    shift->working = options.in_flight;
    for (unsigned i = 0; i < options.in_flight; ++i) std::thread(work, shift).detach();
    std::uint64_t beats = 0;
    auto moved = Clock::now();
    bool interrupted = false;
    std::unique_lock<std::mutex> lock(shift->mutex);
    while (!shift->changed.wait_for(lock, std::chrono::milliseconds(100), [&] { return shift->working == 0; })) {
        lock.unlock();
        options.on_progress(progress());
        if (!interrupted && options.is_interrupted()) shift->stop = interrupted = true;
        if (const std::uint64_t now = shift->beats; now != beats) {
            beats = now;
            moved = Clock::now();
        }
        if (std::chrono::duration<double>(Clock::now() - moved).count() > options.stall_seconds) {
            shift->stop = true;
            throw Stalled("nothing moved for " + std::to_string(static_cast<int>(options.stall_seconds)) +
                          " seconds: the reader or the card hangs");
        }
        lock.lock();
    }
    if (shift->fault) std::rethrow_exception(shift->fault);
    if (interrupted) throw Error("interrupted");
    options.on_progress(progress());
}

void read_whole(Medium& medium, char* data, std::uint64_t count, std::uint64_t offset) {
    ssize_t got = 0;
    do {
        got = medium.read(data, count, offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0) throw_transfer(medium, "reading", offset);
    if (static_cast<std::uint64_t>(got) != count) throw_short(medium, "reading", offset, got, count);
}

void write_whole(Medium& medium, const char* data, std::uint64_t count, std::uint64_t offset) {
    ssize_t put = 0;
    do {
        put = medium.write(data, count, offset);
    } while (put < 0 && errno == EINTR);
    if (put < 0) throw_transfer(medium, "writing", offset);
    if (static_cast<std::uint64_t>(put) != count) throw_short(medium, "writing", offset, put, count);
}

void sync_medium(Medium& medium) {
    if (medium.sync() != 0) throw_system("bringing everything to " + medium.name());
}

void sync_and_forget(Medium& medium) {
    sync_medium(medium);
    if (medium.forget() != 0) throw_system("forgetting what is remembered of " + medium.name());
}

bool is_zero(const char* data, std::uint64_t count) {
    return count == 0 || (data[0] == '\0' && std::memcmp(data, data + 1, count - 1) == 0);
}

std::uint64_t zero_range(Medium& medium, std::uint64_t offset, std::uint64_t count, char* buffer) {
    // A card is read faster than it is written, and a new one is empty.
    read_whole(medium, buffer, count, offset);
    if (is_zero(buffer, count) || medium.zero(offset, count) == 0) return 0;
    if (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOTTY) throw_transfer(medium, "emptying", offset);
    std::memset(buffer, 0, count);
    write_whole(medium, buffer, count, offset);
    return count;
}

}  // namespace makina
