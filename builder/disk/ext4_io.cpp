#include "builder/disk/ext4_io.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

struct Channel {
    PatchedImage* image = nullptr;
    std::uint64_t offset = 0;
};

Channel* of(io_channel channel) {
    return static_cast<Channel*>(channel->private_data);
}

/// libext2fs asks for `count` blocks, or for -count bytes if count is negative (ext2_io.h).
std::size_t byte_count(io_channel channel, int count) {
    return count < 0 ? static_cast<std::size_t>(-count) : static_cast<std::size_t>(count) * channel->block_size;
}

errcode_t open_channel(const char* name, int, io_channel* channel) {
    auto opened = std::make_unique<struct_io_channel>();
    std::memset(opened.get(), 0, sizeof(struct_io_channel));
    auto state = std::make_unique<Channel>();
    void* image = nullptr;
    unsigned long long offset = 0;
    if (std::sscanf(name, "%p+%llx", &image, &offset) != 2) return EXT2_ET_BAD_DEVICE_NAME;
    state->image = static_cast<PatchedImage*>(image);
    state->offset = offset;
    opened->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    opened->manager = patched_io_manager();
    opened->name = strdup(name);
    opened->block_size = 1024;
    opened->refcount = 1;
    opened->private_data = state.release();
    *channel = opened.release();
    return 0;
}

errcode_t close_channel(io_channel channel) {
    if (--channel->refcount > 0) return 0;
    delete of(channel);
    std::free(channel->name);
    delete channel;
    return 0;
}

errcode_t set_block_size(io_channel channel, int size) {
    channel->block_size = size;
    return 0;
}

errcode_t read_blocks(io_channel channel, unsigned long long block, int count, void* data) {
    try {
        of(channel)->image->read(of(channel)->offset + block * static_cast<unsigned>(channel->block_size),
                                 static_cast<char*>(data), byte_count(channel, count));
        return 0;
    } catch (const Error&) {
        return EXT2_ET_SHORT_READ;
    }
}

errcode_t write_blocks(io_channel channel, unsigned long long block, int count, const void* data) {
    try {
        of(channel)->image->write(of(channel)->offset + block * static_cast<unsigned>(channel->block_size),
                                  static_cast<const char*>(data), byte_count(channel, count));
        return 0;
    } catch (const Error&) {
        return EXT2_ET_SHORT_WRITE;
    }
}

errcode_t read_blocks_32(io_channel channel, unsigned long block, int count, void* data) {
    return read_blocks(channel, block, count, data);
}

errcode_t write_blocks_32(io_channel channel, unsigned long block, int count, const void* data) {
    return write_blocks(channel, block, count, data);
}

errcode_t write_bytes(io_channel channel, unsigned long offset, int count, const void* data) {
    try {
        of(channel)->image->write(of(channel)->offset + offset, static_cast<const char*>(data),
                                  static_cast<std::size_t>(count));
        return 0;
    } catch (const Error&) {
        return EXT2_ET_SHORT_WRITE;
    }
}

errcode_t flush_channel(io_channel) {
    return 0;
}

errcode_t zero_blocks(io_channel channel, unsigned long long block, unsigned long long count) {
    const std::vector<char> zeros(static_cast<std::size_t>(channel->block_size), 0);
    for (unsigned long long i = 0; i < count; ++i) {
        if (const errcode_t code = write_blocks(channel, block + i, 1, zeros.data()); code != 0) return code;
    }
    return 0;
}

struct_io_manager make_manager() {
    struct_io_manager manager;
    std::memset(&manager, 0, sizeof manager);
    manager.magic = EXT2_ET_MAGIC_IO_MANAGER;
    manager.name = "image with changed blocks";
    manager.open = open_channel;
    manager.close = close_channel;
    manager.set_blksize = set_block_size;
    manager.read_blk = read_blocks_32;
    manager.write_blk = write_blocks_32;
    manager.flush = flush_channel;
    manager.write_byte = write_bytes;
    manager.read_blk64 = read_blocks;
    manager.write_blk64 = write_blocks;
    manager.zeroout = zero_blocks;
    return manager;
}

}  // namespace

io_manager patched_io_manager() {
    static struct_io_manager manager = make_manager();
    return &manager;
}

std::string patched_io_name(PatchedImage& image, std::uint64_t offset) {
    std::array<char, 48> text{};
    const int size = std::snprintf(text.data(), text.size(), "%p+%llx", static_cast<void*>(&image),
                                   static_cast<unsigned long long>(offset));
    if (size < 0 || static_cast<std::size_t>(size) >= text.size()) throw Error("an address that cannot be written");
    return text.data();
}

}  // namespace makina
