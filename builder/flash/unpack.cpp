#include "builder/flash/unpack.hpp"

#include <fcntl.h>
#include <lzma.h>
#include <malloc.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "builder/flash/source.hpp"
#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

/// The file as it lies there.
class PlainFile : public Unpacking {
  public:
    explicit PlainFile(const std::filesystem::path& path)
        : path_(path), file_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (!file_) throw_system("opening " + path.string());
        struct stat status {};
        if (fstat(file_.get(), &status) != 0) throw_system("looking at " + path.string());
        if (!S_ISREG(status.st_mode)) throw Error(path.string() + ": not a regular file");
        size_ = static_cast<std::uint64_t>(status.st_size);
        (void)posix_fadvise(file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    [[nodiscard]] std::size_t read(char* data, std::size_t count) override {
        std::size_t filled = 0;
        while (filled < count) {
            const ssize_t got = ::read(file_.get(), data + filled, count - filled);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) throw_system("reading " + path_.string());
            if (got == 0) break;
            filled += static_cast<std::size_t>(got);
        }
        done_ += filled;
        return filled;
    }
    [[nodiscard]] std::uint64_t total() const override { return size_; }
    [[nodiscard]] std::uint64_t done() const override { return done_; }
    [[nodiscard]] std::string begin() const {
        std::string bytes(6, '\0');
        const ssize_t got = pread(file_.get(), bytes.data(), bytes.size(), 0);
        if (got < 0) throw_system("reading " + path_.string());
        bytes.resize(static_cast<std::size_t>(got));
        return bytes;
    }
    [[nodiscard]] std::string name() const { return path_.string(); }

  private:
    std::filesystem::path path_;
    Descriptor file_;
    std::uint64_t size_ = 0;
    std::atomic<std::uint64_t> done_ = 0;
};

/// What the three libraries have in common: bytes in, bytes out, and the file's end at the right place.
class Packed : public Unpacking {
  public:
    explicit Packed(std::unique_ptr<PlainFile> file) : file_(std::move(file)) {}
    [[nodiscard]] std::uint64_t total() const override { return file_->total(); }
    [[nodiscard]] std::uint64_t done() const override { return file_->done(); }

  protected:
    /// More bytes of the file if `left` is none; empty at its end.
    std::string_view refill(std::string_view left) {
        if (!left.empty()) return left;
        return {buffer_.data(), file_->read(buffer_.data(), buffer_.size())};
    }
    [[noreturn]] void refuse(const std::string& why) const { throw Error(file_->name() + ": " + why); }
    [[noreturn]] void refuse_cut() const { refuse("the file ends too early: fetch it again"); }

  private:
    std::unique_ptr<PlainFile> file_;
    std::vector<char> buffer_ = std::vector<char>(1 << 17);
};

class Xz : public Packed {
  public:
    explicit Xz(std::unique_ptr<PlainFile> file) : Packed(std::move(file)) {
        // glibc keeps large pieces that a thread has freed, each thread its own, once it has seen them come and go:
        // that was 25 MiB more than the limit below. Pieces of this size go back to the kernel.
        mallopt(M_MMAP_THRESHOLD, 1 << 20);
        lzma_mt options{};
        options.flags = LZMA_CONCATENATED;
        options.threads = std::max(1U, std::thread::hardware_concurrency());
        // Blocks are unpacked side by side as far as this goes; a file of larger ones by one thread.
        options.memlimit_threading = std::uint64_t{32} << 20;
        options.memlimit_stop = std::uint64_t{512} << 20;
        if (lzma_stream_decoder_mt(&stream_, &options) != LZMA_OK) throw Error("out of memory");
    }
    ~Xz() override { lzma_end(&stream_); }
    [[nodiscard]] std::size_t read(char* data, std::size_t count) override {
        stream_.next_out = reinterpret_cast<std::uint8_t*>(data);
        stream_.avail_out = count;
        while (stream_.avail_out > 0 && !ended_) {
            const std::string_view input = refill({reinterpret_cast<const char*>(stream_.next_in), stream_.avail_in});
            stream_.next_in = reinterpret_cast<const std::uint8_t*>(input.data());
            stream_.avail_in = input.size();
            const lzma_ret code = lzma_code(&stream_, input.empty() ? LZMA_FINISH : LZMA_RUN);
            if (code == LZMA_STREAM_END) ended_ = true;
            if (code == LZMA_BUF_ERROR && input.empty()) refuse_cut();
            if (code == LZMA_MEMLIMIT_ERROR) refuse("unpacking it takes more than 512 MiB of memory");
            if (code != LZMA_OK && code != LZMA_STREAM_END && code != LZMA_BUF_ERROR)
                refuse("the packed data is damaged: fetch it again");
        }
        return count - stream_.avail_out;
    }

  private:
    lzma_stream stream_ = LZMA_STREAM_INIT;
    bool ended_ = false;
};

class Zstd : public Packed {
  public:
    explicit Zstd(std::unique_ptr<PlainFile> file) : Packed(std::move(file)), context_(ZSTD_createDCtx()) {
        if (context_ == nullptr) throw Error("out of memory");
    }
    [[nodiscard]] std::size_t read(char* data, std::size_t count) override {
        ZSTD_outBuffer output{data, count, 0};
        while (output.pos < output.size) {
            left_ = refill(left_);
            if (left_.empty() && wanted_ == 0) break;
            ZSTD_inBuffer input{left_.data(), left_.size(), 0};
            const std::size_t before = output.pos;
            wanted_ = ZSTD_decompressStream(context_.get(), &output, &input);
            if (ZSTD_isError(wanted_) != 0) refuse("the packed data is damaged: fetch it again");
            if (left_.empty() && output.pos == before) refuse_cut();
            left_.remove_prefix(input.pos);
        }
        return output.pos;
    }

  private:
    Handle<ZSTD_DCtx, ZSTD_freeDCtx> context_;
    std::string_view left_;
    std::size_t wanted_ = 0;  ///< 0 between frames
};

class Gzip : public Packed {
  public:
    explicit Gzip(std::unique_ptr<PlainFile> file) : Packed(std::move(file)) {
        // 16 more than the largest window: a gzip wrapper, whose CRC-32 is compared (zlib.h, inflateInit2).
        if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw Error("out of memory");
    }
    ~Gzip() override { inflateEnd(&stream_); }
    [[nodiscard]] std::size_t read(char* data, std::size_t count) override {
        stream_.next_out = reinterpret_cast<Bytef*>(data);
        stream_.avail_out = static_cast<uInt>(count);
        while (stream_.avail_out > 0) {
            left_ = refill(left_);
            if (left_.empty() && at_end_) break;
            if (left_.empty()) refuse_cut();
            if (at_end_ && inflateReset(&stream_) != Z_OK) refuse("the packed data is damaged: fetch it again");
            stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(left_.data()));
            stream_.avail_in = static_cast<uInt>(left_.size());
            const int code = inflate(&stream_, Z_NO_FLUSH);
            left_.remove_prefix(left_.size() - stream_.avail_in);
            at_end_ = code == Z_STREAM_END;
            if (code != Z_OK && code != Z_STREAM_END) refuse("the packed data is damaged: fetch it again");
        }
        return count - stream_.avail_out;
    }

  private:
    z_stream stream_{};
    std::string_view left_;
    bool at_end_ = false;  ///< of a member; another one may follow (RFC 1952, 2.2)
};

// Magic numbers: RFC 1952 (gzip), the .xz file format 1.2.0, RFC 8878 (zstd).
constexpr std::string_view gzip_magic = "\x1f\x8b";
constexpr std::string_view xz_magic("\xfd\x37zXZ\0", 6);
constexpr std::string_view zstd_magic = "\x28\xb5\x2f\xfd";

bool begins(const std::string& bytes, std::string_view magic) {
    return std::string_view(bytes).substr(0, magic.size()) == magic;
}

}  // namespace

std::unique_ptr<Unpacking> open_unpacking(const std::filesystem::path& path) {
    auto file = std::make_unique<PlainFile>(path);
    const std::string begin = file->begin();
    if (begins(begin, xz_magic)) return std::make_unique<Xz>(std::move(file));
    if (begins(begin, zstd_magic)) return std::make_unique<Zstd>(std::move(file));
    if (begins(begin, gzip_magic)) return std::make_unique<Gzip>(std::move(file));
    return file;
}

bool is_packed(const std::filesystem::path& path) {
    const std::string begin = PlainFile(path).begin();
    return begins(begin, xz_magic) || begins(begin, zstd_magic) || begins(begin, gzip_magic);
}

}  // namespace makina
