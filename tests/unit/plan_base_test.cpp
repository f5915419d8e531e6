#include "builder/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "builder/plan/parts.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/plans.hpp"

namespace makina {
namespace {

using plans::content;
using plans::masked;
using plans::plan_of;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

// --- boot files ---

TEST(Plan, WritesTheRaspberryPisBootFilesForDebian) {
    Profile profile = clusters::pair();
    profile.extras[Role::control_plane].kernel_arguments = {"panic=10", "quiet"};
    profile.extras[Role::control_plane].config_txt = {"dtparam=audio=on"};
    const ImagePlan plan = plan_of(profile, "master-1");
    EXPECT_EQ(content(plan, "/boot/firmware/cmdline.txt"),
              "console=tty0 console=ttyS1,115200 root=PARTUUID=1234abcd-02 rw fsck.repair=yes net.ifnames=0 rootwait "
              "panic=10 quiet\n");
    const std::string config = content(plan, "/boot/firmware/config.txt");
    for (const char* line :
         {"\narm_64bit=1\n", "\nupstream_kernel=1\n", "\nkernel=vmlinuz-6.12.117+deb13-arm64\n",
          "\ninitramfs initrd.img-6.12.117+deb13-arm64\n", "\ngpu_mem=16\n", "\ndtparam=audio=on\n"}) {
        EXPECT_THAT(config, HasSubstr(line));
    }
    EXPECT_EQ(content(plan, "/etc/default/raspi-extra-cmdline"), "panic=10 quiet\n");
    EXPECT_THAT(content(plan, "/etc/default/raspi-firmware"), HasSubstr("\nROOTPART='PARTUUID=1234abcd-02'\n"));
    EXPECT_THAT(content(plan, "/etc/default/raspi-firmware-custom"), HasSubstr("\ndtparam=audio=on\n"));
    EXPECT_THAT(content(plan, "/etc/fstab"),
                HasSubstr("\nPARTUUID=1234abcd-02 / ext4 noatime,errors=remount-ro 0 1\n"));
    EXPECT_THAT(content(plan, "/etc/fstab"), HasSubstr("\nPARTUUID=1234abcd-01 /boot/firmware vfat umask=0077,nofail"));
}

TEST(Plan, ABaseWithoutAKernelKeepsItsOwnBootFiles) {
    BaseFacts base = clusters::debian(clusters::pair());
    base.kernel = "";
    base.files["/etc/fstab"] = "LABEL=x / ext4 defaults 0 1\n/swapfile none swap sw 0 0\n# a swap b swap\n";
    const ImagePlan plan = plan_of(clusters::pair(), "master-1", base);
    EXPECT_EQ(plan.files.find("/boot/firmware/config.txt"), nullptr);
    EXPECT_EQ(content(plan, "/etc/fstab"), "LABEL=x / ext4 defaults 0 1\n# a swap b swap\n");
}

TEST(Plan, EditsOfCmdlineAreOneLineAndIdempotent) {
    const std::vector<std::string> arguments = {"cgroup_enable=memory", "net.ifnames=0"};
    const std::vector<std::string> dropped = {"resize", "init=/x", "systemd.run="};
    const std::string once =
        edit_cmdline("console=tty1 root=PARTUUID=1-02  rootwait resize cgroup_enable=cpuset\ninit=/x systemd.run=/y\n",
                     arguments, dropped);
    EXPECT_EQ(once,
              "console=tty1 root=PARTUUID=1-02 rootwait cgroup_enable=cpuset cgroup_enable=memory net.ifnames=0\n");
    EXPECT_EQ(edit_cmdline(once, arguments, dropped), once);
}

TEST(Plan, EditsOfConfigTxtReplaceOnlyOurs) {
    const std::string base = "dtparam=audio=on\n[cm4]\notg_mode=1\n";
    const std::string once = edit_config_txt(base, {"gpu_mem=16"});
    EXPECT_EQ(once, base + "# makina: begin\n[all]\ngpu_mem=16\n# makina: end\n");
    EXPECT_EQ(edit_config_txt(once, {"gpu_mem=16"}), once);
    EXPECT_EQ(edit_config_txt(once + "mine=1\n", {"a=1"}),
              base + "mine=1\n# makina: begin\n[all]\na=1\n# makina: end\n");
}

// --- vendor images ---

BaseFacts rpios(Layout layout) {
    BaseFacts base = clusters::debian(clusters::pair());
    base.layout = layout;
    base.kernel = "";
    base.packages.erase("systemd-resolved");
    base.packages.erase("raspi-firmware");
    base.packages.erase("linux-image-arm64");
    base.files["/boot/firmware/cmdline.txt"] =
        "console=serial0,115200 console=tty1 root=PARTUUID=1234abcd-02 rootfstype=ext4 fsck.repair=yes rootwait quiet "
        "init=/usr/lib/raspberrypi-sys-mods/firstboot resize ds=nocloud;i=rpios-image\n";
    base.files["/boot/firmware/config.txt"] = "auto_initramfs=1\n[all]\n";
    base.files["/etc/fstab"] = "PARTUUID=1234abcd-02 / ext4 defaults,noatime 0 1\n/var/swap none swap sw 0 0\n";
    return base;
}

TEST(Plan, SwitchesOffWhatRaspberryPiOsDoesByItself) {
    for (const Layout layout : {Layout::rpios_bookworm, Layout::rpios_trixie}) {
        const ImagePlan plan = plan_of(clusters::pair(), "master-1", rpios(layout));
        EXPECT_EQ(
            content(plan, "/boot/firmware/cmdline.txt"),
            "console=serial0,115200 console=tty1 root=PARTUUID=1234abcd-02 rootfstype=ext4 fsck.repair=yes rootwait "
            "cgroup_enable=memory net.ifnames=0\n");
        EXPECT_THAT(content(plan, "/boot/firmware/config.txt"),
                    HasSubstr("auto_initramfs=1\n[all]\n# makina: begin\n"));
        EXPECT_EQ(content(plan, "/etc/fstab"), "PARTUUID=1234abcd-02 / ext4 defaults,noatime 0 1\n");
        for (const char* unit :
             {"userconfig.service", "NetworkManager.service", "rpi-resize.service", "dphys-swapfile.service"}) {
            EXPECT_TRUE(masked(plan, "/etc/systemd/system/" + std::string(unit))) << unit;
        }
        EXPECT_EQ(content(plan, "/etc/rpi/swap.conf.d/makina.conf"), "[Main]\nMechanism=none\n");
        EXPECT_NE(plan.files.find("/etc/cloud/cloud-init.disabled"), nullptr);
        EXPECT_THAT(plan.first_boot, IsEmpty());
    }
}

TEST(Plan, SwitchesOffWhatUbuntuDoesByItself) {
    const ImagePlan plan = plan_of(clusters::pair(), "worker-1", rpios(Layout::ubuntu_2404));
    EXPECT_NE(plan.files.find("/etc/cloud/cloud-init.disabled"), nullptr);
    EXPECT_THAT(plan.removals, Contains("/etc/netplan"));
    EXPECT_THAT(plan.removals, Contains("/boot/firmware/user-data"));
    EXPECT_THAT(content(plan, "/boot/firmware/cmdline.txt"), HasSubstr(" cgroup_enable=memory "));
}

TEST(Plan, RefusesAVendorImageWithoutItsBootFiles) {
    BaseFacts base = rpios(Layout::rpios_trixie);
    base.files.erase("/boot/firmware/cmdline.txt");
    try {
        (void)plan_of(clusters::pair(), "master-1", base);
        FAIL();
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "the base has no /boot/firmware/cmdline.txt: is it a rpios-trixie image?");
    }
}

}  // namespace
}  // namespace makina
