#include <array>

#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

constexpr const char* units = "/etc/systemd/system/";

void put_file(ImagePlan& plan, const std::string& path, std::string content, const std::string& origin,
              std::uint32_t mode = 0644, const std::string& group = "root") {
    File file;
    file.path = path;
    file.mode = mode;
    file.group = group;
    file.content = std::move(content);
    file.origin = origin;
    plan.files.put(std::move(file));
}

void put_link(ImagePlan& plan, const std::string& path, const std::string& target, const std::string& origin) {
    File file;
    file.path = path;
    file.kind = FileKind::symlink;
    file.mode = 0777;
    file.content = target;
    file.origin = origin;
    plan.files.put(std::move(file));
}

void mask(ImagePlan& plan, const std::string& unit, const std::string& origin) {
    put_link(plan, units + unit, "/dev/null", origin);
}

// What must not be the same on two cards, whoever made the base.
void remove_identity(ImagePlan& plan) {
    for (const char* kind : {"rsa", "ecdsa", "ed25519"}) {
        const std::string key = std::string("/etc/ssh/ssh_host_") + kind + "_key";
        plan.removals.push_back(key);
        plan.removals.push_back(key + ".pub");
    }
    plan.removals.emplace_back("/var/lib/dbus/machine-id");
    plan.removals.emplace_back("/var/lib/systemd/random-seed");
}

void remove_swap_files(ImagePlan& plan) {
    for (const char* path : {"/var/swap", "/swapfile", "/swap.img"}) {
        plan.removals.emplace_back(path);
    }
}

// Cards made from a vendor's image: cloud-init, wizards and growers would change at the first boot what is decided
// here, and a second network manager would fight with systemd-networkd.
void quiet_vendor(ImagePlan& plan) {
    const std::string origin = "the vendor's first boot, switched off";
    put_file(plan, "/etc/cloud/cloud-init.disabled", "", origin);
    for (const char* unit :
         {"NetworkManager.service", "NetworkManager-wait-online.service", "NetworkManager-dispatcher.service",
          "dhcpcd.service", "networking.service", "wpa_supplicant.service", "rpi-resize.service"}) {
        mask(plan, unit, origin);
    }
    plan.removals.emplace_back("/etc/netplan");
    for (const char* name : {"user-data", "network-config", "meta-data"}) {
        plan.removals.emplace_back(std::string("/boot/firmware/") + name);
    }
}

void quiet_rpios(ImagePlan& plan) {
    const std::string origin = "Raspberry Pi OS's first boot, switched off";
    for (const char* unit : {"userconfig.service", "regenerate_ssh_host_keys.service", "sshswitch.service",
                             "rpi-zram-writeback.timer", "rpi-zram-writeback.service"}) {
        mask(plan, unit, origin);
    }
    // Mechanism=none is the vendor's own word for it; the masked generators in overlays/any are the second lock.
    put_file(plan, "/etc/rpi/swap.conf.d/makina.conf", "[Main]\nMechanism=none\n", origin);
    for (const char* path :
         {"/etc/init.d/resize2fs_once", "/etc/rc3.d/S01resize2fs_once", "/etc/sudoers.d/010_pi-nopasswd",
          "/etc/systemd/system/getty@tty1.service.d/autologin.conf", "/boot/firmware/firstrun.sh",
          "/boot/firmware/userconf.txt", "/boot/firmware/custom.toml", "/boot/firmware/rpi-preseed.toml"}) {
        plan.removals.emplace_back(path);
    }
}

// Words of a vendor's cmdline.txt that start its grower, its wizard or cloud-init. A word ending in "=" is a prefix.
const std::vector<std::string>& vendor_words() {
    static const std::vector<std::string> words = {"resize",
                                                   "quiet",
                                                   "splash",
                                                   "init=/usr/lib/raspberrypi-sys-mods/firstboot",
                                                   "init=/usr/lib/raspi-config/init_resize.sh",
                                                   "systemd.run=",
                                                   "systemd.run_success_action=",
                                                   "systemd.unit=",
                                                   "ds="};
    return words;
}

void edit_vendor_boot(const Profile& profile, const Node& node, const BaseFacts& base, ImagePlan& plan) {
    const std::string cmdline = "/boot/firmware/cmdline.txt";
    const std::string config = "/boot/firmware/config.txt";
    const auto found = base.files.find(cmdline);
    if (found == base.files.end()) {
        throw Error("the base has no " + cmdline + ": is it a " + to_string(base.layout) + " image?");
    }
    const std::vector<std::string> arguments = kernel_arguments(profile, node, base);
    put_file(plan, cmdline, edit_cmdline(found->second, arguments, vendor_words()), "edited: " + cmdline);
    // A node has no screen, and no radio while it has a cable.
    std::vector<std::string> lines = {"gpu_mem=16", "dtoverlay=disable-wifi", "dtoverlay=disable-bt"};
    const std::vector<std::string>& more = extras_of(profile, node).config_txt;
    lines.insert(lines.end(), more.begin(), more.end());
    const auto old = base.files.find(config);
    put_file(plan, config, edit_config_txt(old == base.files.end() ? "" : old->second, lines), "edited: " + config);
}

void edit_accounts(const BaseFacts& base, ImagePlan& plan) {
    if (const auto shadow = base.files.find("/etc/shadow"); shadow != base.files.end()) {
        const std::string locked = lock_root(shadow->second);
        if (locked != shadow->second) {
            put_file(plan, "/etc/shadow", locked, "edited: /etc/shadow", 0640, "shadow");
        }
    }
}

void edit_vendor_fstab(const BaseFacts& base, ImagePlan& plan) {
    if (const auto fstab = base.files.find("/etc/fstab"); fstab != base.files.end()) {
        put_file(plan, "/etc/fstab", edit_fstab(fstab->second), "edited: /etc/fstab");
    }
}

}  // namespace

void use_old_iptables(const Profile& profile, ImagePlan& plan) {
    const bool kubernetes = plan.node.role == Role::control_plane || plan.node.role == Role::worker;
    if (!kubernetes || profile.kubernetes.version >= Version{1, 17, 0}) {
        return;
    }
    constexpr std::array<std::array<const char*, 2>, 6> links = {{{"iptables", "iptables-legacy"},
                                                                  {"iptables-save", "iptables-legacy-save"},
                                                                  {"iptables-restore", "iptables-legacy-restore"},
                                                                  {"ip6tables", "ip6tables-legacy"},
                                                                  {"ip6tables-save", "ip6tables-legacy-save"},
                                                                  {"ip6tables-restore", "ip6tables-legacy-restore"}}};
    for (const auto& [name, program] : links) {
        put_link(plan, std::string("/etc/alternatives/") + name, std::string("/usr/sbin/") + program,
                 "kube-proxy before 1.17 writes rules of the old kind");
    }
}

std::string to_string(Layout layout) {
    switch (layout) {
        case Layout::debian:
            return "debian";
        case Layout::rpios_bookworm:
            return "rpios-bookworm";
        case Layout::rpios_trixie:
            return "rpios-trixie";
        case Layout::ubuntu_2404:
            return "ubuntu-24.04";
    }
    throw Error("unknown layout");
}

void adapt_to_layout(const Profile& profile, const Node& node, const BaseFacts& base, ImagePlan& plan) {
    remove_identity(plan);
    remove_swap_files(plan);
    edit_accounts(base, plan);
    switch (base.layout) {
        case Layout::debian:
            if (!writes_pi_boot(base)) {
                edit_vendor_fstab(base, plan);
            }
            return;
        case Layout::rpios_bookworm:
        case Layout::rpios_trixie:
            quiet_vendor(plan);
            quiet_rpios(plan);
            break;
        case Layout::ubuntu_2404:
            quiet_vendor(plan);
            break;
    }
    edit_vendor_fstab(base, plan);
    edit_vendor_boot(profile, node, base, plan);
}

}  // namespace makina
