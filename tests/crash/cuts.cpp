#include "tests/crash/cuts.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <sstream>

#include "builder/disk/disk.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina::crash {
namespace {

constexpr std::uint64_t sector_size = 512;
// include/uapi and drivers/md/dm-log-writes.c of Linux.
constexpr std::uint64_t magic = 0x6a736677736872;
constexpr std::uint64_t flag_flush = 1;
constexpr std::uint64_t flag_fua = 2;
constexpr std::uint64_t flag_discard = 4;

template <typename Number>
Number number_at(std::string_view bytes, std::uint64_t offset) {
    Number number{};
    if (offset + sizeof number > bytes.size()) throw Error("the log of writes ends early");
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    return number;
}

void write_all(int file, std::string_view data, std::uint64_t offset) {
    while (!data.empty()) {
        const ssize_t done = ::pwrite(file, data.data(), data.size(), static_cast<off_t>(offset));
        if (done <= 0) throw_system("writing a card");
        data.remove_prefix(static_cast<std::size_t>(done));
        offset += static_cast<std::uint64_t>(done);
    }
}

void apply(int card, const Write& write, std::uint64_t sectors) {
    const std::uint64_t count = sectors * sector_size;
    const std::string zeros(write.data.empty() ? count : 0, '\0');
    write_all(card, write.data.empty() ? zeros : write.data.substr(0, count), write.sector * sector_size);
}

Descriptor open_card(const std::filesystem::path& card) {
    Descriptor file(::open(card.c_str(), O_RDWR | O_CLOEXEC));
    if (!file) throw_system("opening " + card.string());
    return file;
}

std::uint64_t below(std::mt19937_64& random, std::uint64_t limit) {
    return std::uniform_int_distribution<std::uint64_t>(0, limit - 1)(random);
}

Cut random_cut(const std::vector<Write>& writes, std::size_t epoch, std::mt19937_64& random) {
    Cut cut{epoch, {}};
    const std::uint64_t tenths = 1 + below(random, 9);
    for (std::size_t i = 0; i < writes.size(); ++i) {
        if (below(random, 10) < tenths) cut.pieces.push_back({i, writes[i].sectors});
    }
    std::shuffle(cut.pieces.begin(), cut.pieces.end(), random);
    if (!cut.pieces.empty() && below(random, 3) == 0) {
        // The write that was under way when the power went.
        Cut::Piece& last = cut.pieces.back();
        if (last.sectors > 1) last.sectors = 1 + below(random, last.sectors - 1);
    }
    return cut;
}

}  // namespace

WriteLog::WriteLog(const std::filesystem::path& file) {
    std::stringstream content;
    content << std::ifstream(file, std::ios::binary).rdbuf();
    bytes_ = std::move(content).str();
    const std::string_view bytes = bytes_;
    if (number_at<std::uint64_t>(bytes, 0) != magic || number_at<std::uint32_t>(bytes, 24) != sector_size) {
        throw Error(file.string() + " is no log of writes in sectors of 512 bytes");
    }
    epochs_.emplace_back();
    std::uint64_t at = sector_size;
    for (auto left = number_at<std::uint64_t>(bytes, 16); left > 0; --left) {
        Write write{number_at<std::uint64_t>(bytes, at), number_at<std::uint64_t>(bytes, at + 8), {}};
        const auto flags = number_at<std::uint64_t>(bytes, at + 16);
        at += sector_size;
        if ((flags & flag_fua) != 0) throw Error("a loop device is not expected to force single writes");
        if ((flags & flag_discard) == 0) {
            write.data = bytes.substr(at, write.sectors * sector_size);
            if (write.data.size() != write.sectors * sector_size) throw Error("the log of writes ends early");
            at += write.data.size();
        }
        // A flush stands before the data of its own entry.
        if ((flags & flag_flush) != 0) epochs_.emplace_back();
        if (write.sectors > 0) epochs_.back().push_back(write);
    }
}

std::vector<Cut> choose_cuts(const WriteLog& log, std::size_t random, std::uint64_t seed) {
    std::mt19937_64 chance(seed);
    std::vector<Cut> cuts;
    for (std::size_t epoch = 0; epoch < log.epochs().size(); ++epoch) {
        const std::vector<Write>& writes = log.epochs()[epoch];
        if (writes.empty() && epoch + 1 < log.epochs().size()) continue;
        std::vector<Cut> here = {{epoch, {}}};
        Cut whole{epoch, {}};
        for (std::size_t i = 0; i < writes.size(); ++i) whole.pieces.push_back({i, writes[i].sectors});
        // All of an epoch is nothing of the next one.
        const std::size_t first_random = here.size();
        for (std::size_t i = 0; i < 2 * random && here.size() - first_random < random; ++i) {
            Cut cut = random_cut(writes, epoch, chance);
            const bool known = cut == whole || std::find(here.begin(), here.end(), cut) != here.end();
            if (!known) here.push_back(std::move(cut));
        }
        cuts.insert(cuts.end(), here.begin(), here.end());
        if (epoch + 1 == log.epochs().size() && !writes.empty()) cuts.push_back(whole);
    }
    return cuts;
}

std::string describe(const WriteLog& log, const Cut& cut) {
    const std::vector<Write>& writes = log.epochs()[cut.epoch];
    std::string text = "epoch " + std::to_string(cut.epoch) + ", " + std::to_string(cut.pieces.size()) + " of " +
                       std::to_string(writes.size()) + " writes:";
    for (const Cut::Piece& piece : cut.pieces) {
        text += ' ' + std::to_string(piece.write);
        const std::uint64_t all = writes[piece.write].sectors;
        if (piece.sectors != all) {
            text += '(' + std::to_string(piece.sectors) + " of " + std::to_string(all) + " sectors)";
        }
    }
    return text;
}

CutCards::CutCards(const std::filesystem::path& before, const WriteLog& log, std::filesystem::path front)
    : log_(log), front_(std::move(front)) {
    copy_sparse(before, front_);
}

void CutCards::make(const Cut& cut, const std::filesystem::path& card) {
    const Descriptor front = open_card(front_);
    if (cut.epoch < epoch_) throw Error("cuts go only forwards");
    for (; epoch_ < cut.epoch; ++epoch_) {
        for (const Write& write : log_.epochs()[epoch_]) apply(front.get(), write, write.sectors);
    }
    copy_sparse(front_, card);
    const Descriptor file = open_card(card);
    for (const Cut::Piece& piece : cut.pieces) {
        apply(file.get(), log_.epochs()[cut.epoch][piece.write], piece.sectors);
    }
}

void copy_sparse(const std::filesystem::path& from, const std::filesystem::path& to) {
    const Descriptor source = open_card(from);
    const Descriptor target(::open(to.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!target) throw_system("writing " + to.string());
    const std::uint64_t size = std::filesystem::file_size(from);
    if (::ftruncate(target.get(), static_cast<off_t>(size)) != 0) throw_system("writing " + to.string());
    std::string buffer;
    for (const Extent& extent : data_extents(source.get(), 0, size)) {
        buffer.resize(extent.size);
        if (::pread(source.get(), buffer.data(), buffer.size(), static_cast<off_t>(extent.offset)) !=
            static_cast<ssize_t>(buffer.size())) {
            throw_system("reading " + from.string());
        }
        write_all(target.get(), buffer, extent.offset);
    }
}

}  // namespace makina::crash
