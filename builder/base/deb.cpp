#include "builder/base/deb.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <string_view>
#include <vector>

#include "firstboot/bundle/error.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

using Reader = Handle<archive, archive_read_free>;
using Writer = Handle<archive, archive_write_free>;
using Entry = Handle<archive_entry, archive_entry_free>;

void require(archive* reader, int code, const std::string& what) {
    if (code == ARCHIVE_OK || code == ARCHIVE_WARN || code == ARCHIVE_EOF) return;
    const char* const text = archive_error_string(reader);
    throw Error(what + ": " + (text == nullptr ? "damaged archive" : text));
}

/// Only what Debian packages and initramfs images are made of: every further format is a parser that input can reach.
Reader new_plain_reader(int (*format)(archive*)) {
    Reader reader(archive_read_new());
    if (reader == nullptr) throw Error("out of memory");
    format(reader.get());
    return reader;
}

Reader new_reader(int (*format)(archive*)) {
    Reader reader = new_plain_reader(format);
    archive_read_support_filter_gzip(reader.get());
    archive_read_support_filter_xz(reader.get());
    archive_read_support_filter_zstd(reader.get());
    return reader;
}

std::string text(const char* value) {
    return value == nullptr ? std::string() : std::string(value);
}

/// As merged_path, for the four folders themselves.
std::string merged_folder(const std::string& path) {
    const bool merged = path == "/bin" || path == "/sbin" || path == "/lib" || path == "/lib64";
    return merged ? "/usr" + path : path;
}

PackedFile to_file(archive_entry* entry) {
    PackedFile file;
    file.path = merged_path(text(archive_entry_pathname(entry)));
    file.mode = archive_entry_mode(entry);
    // A package may still unpack the folder "/lib" itself, which is a link on the node.
    if (S_ISDIR(file.mode)) file.path = merged_folder(file.path);
    file.user = text(archive_entry_uname(entry));
    file.group = text(archive_entry_gname(entry));
    file.uid = static_cast<std::uint32_t>(archive_entry_uid(entry));
    file.gid = static_cast<std::uint32_t>(archive_entry_gid(entry));
    file.size = static_cast<std::uint64_t>(archive_entry_size(entry));
    file.mtime = archive_entry_mtime(entry);
    file.target = text(archive_entry_symlink(entry));
    if (archive_entry_hardlink(entry) != nullptr) {
        file.hard_link = merged_path(archive_entry_hardlink(entry));
        file.mode = S_IFREG | (file.mode & 07777U);
    }
    file.device_major = static_cast<std::uint32_t>(archive_entry_rdevmajor(entry));
    file.device_minor = static_cast<std::uint32_t>(archive_entry_rdevminor(entry));
    archive_entry_xattr_reset(entry);
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
        file.xattrs[name] = std::string(static_cast<const char*>(value), size);
    }
    return file;
}

std::string read_content(archive* reader, archive_entry* entry, const std::string& what) {
    std::string content;
    std::vector<char> buffer(1 << 18);
    // Only a hint: a damaged archive may claim any size.
    if (archive_entry_size_is_set(entry) != 0) {
        content.reserve(static_cast<std::size_t>(std::clamp<la_int64_t>(archive_entry_size(entry), 0, 1 << 26)));
    }
    for (;;) {
        const la_ssize_t got = archive_read_data(reader, buffer.data(), buffer.size());
        if (got < 0) require(reader, static_cast<int>(got), what);
        if (got <= 0) return content;
        content.append(buffer.data(), static_cast<std::size_t>(got));
    }
}

void visit_entries(archive* reader, const std::string& what, const Visit& visit) {
    archive_entry* entry = nullptr;
    for (;;) {
        const int code = archive_read_next_header(reader, &entry);
        require(reader, code, what);
        if (code == ARCHIVE_EOF) return;
        visit(to_file(entry), [&] { return read_content(reader, entry, what); });
    }
}

/// A member of the outer archive, read as an archive of its own without unpacking it first.
struct Member {
    archive* outer = nullptr;
    std::array<char, 1 << 16> buffer{};
};

la_ssize_t read_member(archive*, void* data, const void** buffer) {
    auto* const member = static_cast<Member*>(data);
    *buffer = member->buffer.data();
    return archive_read_data(member->outer, member->buffer.data(), member->buffer.size());
}

/// Visits the entries of the .deb member whose name begins with `prefix` ("control.tar" or "data.tar").
void visit_member(const std::filesystem::path& deb, const std::string& prefix, const Visit& visit) {
    const std::string what = "reading the package " + deb.filename().string();
    const Reader outer = new_reader(archive_read_support_format_ar);
    require(outer.get(), archive_read_open_filename(outer.get(), deb.c_str(), 1 << 16), what);
    archive_entry* entry = nullptr;
    bool found = false;
    for (int code = ARCHIVE_OK; !found && code != ARCHIVE_EOF;) {
        code = archive_read_next_header(outer.get(), &entry);
        require(outer.get(), code, what);
        found = code != ARCHIVE_EOF && text(archive_entry_pathname(entry)).rfind(prefix, 0) == 0;
    }
    if (!found) throw Error(what + ": it has no " + prefix + ": the file is damaged or not a Debian package");
    Member member;
    member.outer = outer.get();
    const Reader inner = new_reader(archive_read_support_format_tar);
    require(inner.get(), archive_read_open(inner.get(), &member, nullptr, read_member, nullptr), what);
    visit_entries(inner.get(), what, visit);
    // The reader stops where the archive ends; what is padding behind it must be there as well, or the file was cut.
    la_ssize_t left = 0;
    while ((left = archive_read_data(outer.get(), member.buffer.data(), member.buffer.size())) > 0) {
    }
    require(outer.get(), static_cast<int>(left), what);
}

/// How many bytes a cpio archive takes whose last entry begins at `trailer`. The header of "newc" is 110 bytes of text,
/// the size of the name (hexadecimal) at 94; name and header together are padded to 4 bytes (cpio(5)).
std::size_t end_of_cpio(std::string_view archive, std::size_t trailer, const std::string& what) {
    constexpr std::size_t header = 110;
    const std::string_view last = archive.substr(std::min(trailer, archive.size()));
    std::size_t name = 0;
    const bool newc = last.size() >= header && (last.substr(0, 6) == "070701" || last.substr(0, 6) == "070702") &&
                      std::from_chars(last.data() + 94, last.data() + 102, name, 16).ec == std::errc();
    if (!newc || last.size() < header + name) throw Error(what + ": a cpio archive of another kind than newc");
    return trailer + (header + name + 3) / 4 * 4;
}

}  // namespace

std::string merged_path(const std::string& path) {
    std::size_t begin = 0;
    while (begin < path.size() && (path[begin] == '/' || path.compare(begin, 2, "./") == 0)) ++begin;
    std::string clean = "/" + (path == "." ? std::string() : path.substr(begin));
    while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
    for (const char* folder : {"/bin/", "/sbin/", "/lib/", "/lib64/"}) {
        if (clean.rfind(folder, 0) == 0) return "/usr" + clean;
    }
    return clean;
}

std::map<std::string, std::string> read_control(const std::filesystem::path& deb) {
    std::map<std::string, std::string> members;
    visit_member(deb, "control.tar", [&](const PackedFile& file, const Content& content) {
        if (S_ISREG(file.mode)) members[file.path.substr(1)] = content();
    });
    if (members.count("control") == 0)
        throw Error(deb.filename().string() + " has no control file: it is not a Debian package");
    return members;
}

void visit_deb(const std::filesystem::path& deb, const Visit& visit) {
    visit_member(deb, "data.tar", visit);
}

void visit_tar(const std::filesystem::path& tar, const Visit& visit) {
    const Reader reader = new_reader(archive_read_support_format_tar);
    const std::string what = "reading " + tar.string();
    require(reader.get(), archive_read_open_filename(reader.get(), tar.c_str(), 1 << 20), what);
    visit_entries(reader.get(), what, visit);
}

void visit_initramfs(const std::string& initramfs, const Visit& visit) {
    const std::string what = "reading the initramfs";
    // Archives follow one another, padded with zeros; libarchive reads one, so each is found and opened by itself.
    for (std::size_t begin = 0; begin < initramfs.size();) {
        if (initramfs[begin] == '\0') {
            ++begin;
            continue;
        }
        const std::string_view rest = std::string_view(initramfs).substr(begin);
        const bool plain = rest.substr(0, 4) == "0707";
        const Reader reader =
            plain ? new_plain_reader(archive_read_support_format_cpio) : new_reader(archive_read_support_format_cpio);
        require(reader.get(), archive_read_open_memory(reader.get(), rest.data(), rest.size()), what);
        visit_entries(reader.get(), what, visit);
        // A compressed archive is always the last one; a plain one ends behind the entry that was read last.
        if (!plain) return;
        const auto trailer = static_cast<std::size_t>(archive_read_header_position(reader.get()));
        begin += end_of_cpio(rest, trailer, what);
    }
}

struct InitramfsWriter::State {
    std::int64_t mtime = 0;
    std::int64_t next_inode = 1;
    std::string bytes;
    Writer writer{archive_write_new()};
};

InitramfsWriter::InitramfsWriter(std::int64_t mtime) : state_(std::make_unique<State>()) {
    state_->mtime = mtime;
    archive* const writer = state_->writer.get();
    require(writer, archive_write_set_format_cpio_newc(writer), "making the initramfs");
    require(writer, archive_write_add_filter_zstd(writer), "making the initramfs");
    require(writer, archive_write_set_filter_option(writer, "zstd", "compression-level", "9"), "making the initramfs");
    // The end of the frame is the end of the file: zeros behind it are no zstd, and some readers say so.
    require(writer, archive_write_set_bytes_in_last_block(writer, 1), "making the initramfs");
    const auto append = [](archive*, void* state, const void* data, std::size_t size) -> la_ssize_t {
        static_cast<State*>(state)->bytes.append(static_cast<const char*>(data), size);
        return static_cast<la_ssize_t>(size);
    };
    require(writer, archive_write_open(writer, state_.get(), nullptr, append, nullptr), "making the initramfs");
}

InitramfsWriter::~InitramfsWriter() = default;

void InitramfsWriter::add(const PackedFile& file, const std::string& content) {
    archive* const writer = state_->writer.get();
    const Entry entry(archive_entry_new());
    archive_entry_set_pathname(entry.get(), file.path == "/" ? "." : file.path.c_str() + 1);
    archive_entry_set_mode(entry.get(), file.mode);
    archive_entry_set_mtime(entry.get(), state_->mtime, 0);
    archive_entry_set_ino(entry.get(), state_->next_inode++);
    archive_entry_set_nlink(entry.get(), 1);
    if (S_ISLNK(file.mode)) archive_entry_set_symlink(entry.get(), file.target.c_str());
    if (S_ISCHR(file.mode) || S_ISBLK(file.mode)) {
        archive_entry_set_rdev(entry.get(), makedev(file.device_major, file.device_minor));
    }
    archive_entry_set_size(entry.get(), S_ISREG(file.mode) ? static_cast<la_int64_t>(content.size()) : 0);
    require(writer, archive_write_header(writer, entry.get()), "making the initramfs");
    if (S_ISREG(file.mode) && archive_write_data(writer, content.data(), content.size()) < 0) {
        require(writer, ARCHIVE_FATAL, "making the initramfs");
    }
}

std::string InitramfsWriter::finish() {
    require(state_->writer.get(), archive_write_close(state_->writer.get()), "making the initramfs");
    return std::move(state_->bytes);
}

}  // namespace makina
