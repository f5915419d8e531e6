#include <algorithm>

#include "firstboot/node/node.hpp"
#include "firstboot/node/partitions.hpp"

namespace makina {
namespace {

/// ext4 counts in blocks of 4 KiB: eight sectors.
constexpr std::uint64_t block = 8;

bool kernel_has(const Disk& disk, const Place& place) {
    return place.number == 0 ||
           std::find(disk.partitions.begin(), disk.partitions.end(), place.number) != disk.partitions.end();
}

bool fills_partition(const Disk& disk) {
    return disk.file_system_sectors + block > disk.root_sectors;
}

Outcome state_of(const Disk& disk, const Layout& layout) {
    if (!layout.wants.empty()) return {false, layout.wants};
    if (layout.table != disk.table) return {false, "the partition table of " + disk.name};
    if (layout.left.empty()) {
        if (disk.root_sectors < layout.root.sectors) return {false, "the kernel to see the larger root partition"};
        if (!kernel_has(disk, layout.spare)) return {false, "the kernel to see the spare partition"};
    }
    if (!fills_partition(disk)) return {false, "the root file system to fill its partition"};
    return {true, {}, layout.left};
}

}  // namespace

Outcome ask_storage(Host& host, const Bundle& bundle) {
    const Disk disk = host.disk();
    return state_of(disk, layout_of(disk, bundle.spare));
}

Outcome do_storage(Host& host, const Bundle& bundle) {
    Disk disk = host.disk();
    const Layout layout = layout_of(disk, bundle.spare);
    if (!layout.wants.empty()) return {false, layout.wants};
    // One sector, so that a power cut leaves the old table or the new one, never a part of it.
    if (layout.table != disk.table) host.write_table(layout.table);
    if (layout.left.empty()) {
        if (disk.root_sectors < layout.root.sectors) {
            host.tell_partition(layout.root.number, layout.root.start, layout.root.sectors);
        }
        if (!kernel_has(disk, layout.spare)) {
            host.tell_partition(layout.spare.number, layout.spare.start, layout.spare.sectors);
        }
    }
    disk = host.disk();
    if (!fills_partition(disk)) host.grow_root();
    return ask_storage(host, bundle);
}

}  // namespace makina
