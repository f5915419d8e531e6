#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <functional>
#include <sstream>

#include "builder/base/facts.hpp"
#include "builder/base/unpack.hpp"
#include "builder/base/vendor_image.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/clusters.hpp"
#include "tests/unit/http_server.hpp"
#include "tests/unit/refusal.hpp"
#include "tests/unit/vendor_images.hpp"

namespace makina {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::uint64_t mib = 1 << 20;

std::uint64_t allocated(const fs::path& file) {
    struct stat status {};
    return stat(file.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
}

class Vendor : public testing::Test {
  protected:
    void SetUp() override {
        fs::create_directory(folder);
        fs::create_directory(cache);
    }
    [[nodiscard]] BaseRequest request(const std::string& source, const std::string& hash = "") const {
        BaseRequest request;
        request.base.kind = BaseKind::image;
        request.base.source = source;
        request.base.sha256 = hash;
        request.cache = cache;
        return request;
    }
    [[nodiscard]] std::string prepare(const BaseRequest& request) const {
        return refusal([&] { (void)prepare_vendor_image(request, folder); });
    }
    /// Nothing half-made may stay.
    void expect_empty_folder() const { EXPECT_TRUE(fs::is_empty(folder)) << *fs::directory_iterator(folder); }
    static void expect_clean(const fs::path& image) {
        const Partition root = *read_partition_table(image).find(2);
        const Result check = run({{"e2fsck", "-fn", image.string() + "?offset=" + std::to_string(root.offset)}});
        EXPECT_EQ(check.status, 0) << check.output << check.errors;
    }

    Scratch scratch;
    fs::path folder = scratch / "base";
    fs::path cache = scratch / "cache";
};

// --- facts ---

TEST_F(Vendor, FactsOfRaspberryPiOsBookworm) {
    const BaseFacts facts = read_facts(vendors::write(scratch, "a.img", vendors::rpios_bookworm()));
    EXPECT_EQ(facts.layout, Layout::rpios_bookworm);
    EXPECT_EQ(facts.architecture, Architecture::arm64);
    EXPECT_EQ(facts.kernel, "");
    EXPECT_EQ(facts.disk_id, 0x5eed0001U);
    EXPECT_EQ(facts.built, vendors::upgraded);
    EXPECT_EQ(facts.packages, (std::map<std::string, std::string>{{"dphys-swapfile", "20100506-7.1+rpt1"},
                                                                  {"raspberrypi-sys-mods", "1:20250101"}}));
    EXPECT_EQ(facts.files.at("/etc/dphys-swapfile"), "CONF_SWAPSIZE=512\n");
    EXPECT_EQ(facts.files.at("/etc/shadow"), "root:*:20000:0:99999:7:::\n");
    EXPECT_THAT(facts.files.at("/boot/firmware/cmdline.txt"), HasSubstr("root=PARTUUID=5eed0001-02"));
    EXPECT_THAT(facts.files.at("/boot/firmware/config.txt"), HasSubstr("auto_initramfs=1"));
    EXPECT_EQ(facts.files.count("/boot/firmware/user-data"), 0U);
}

TEST_F(Vendor, FactsOfRaspberryPiOsTrixie) {
    const BaseFacts facts = read_facts(vendors::write(scratch, "a.img", vendors::rpios_trixie()));
    EXPECT_EQ(facts.layout, Layout::rpios_trixie);
    EXPECT_EQ(facts.packages.at("rpi-swap"), "1.0");
    EXPECT_EQ(facts.files.at("/etc/rpi/swap.conf"), "[Main]\n#Mechanism=auto\n");
    EXPECT_EQ(facts.files.at("/boot/firmware/meta-data"), "dsmode: local\ninstance_id: rpios-image\n");
    EXPECT_THAT(facts.files.at("/boot/firmware/cmdline.txt"), HasSubstr(" resize"));
}

TEST_F(Vendor, FactsOfUbuntu) {
    const BaseFacts facts = read_facts(vendors::write(scratch, "a.img", vendors::ubuntu_2404()));
    EXPECT_EQ(facts.layout, Layout::ubuntu_2404);
    EXPECT_EQ(facts.files.at("/etc/cloud/cloud.cfg"), "users:\n  - default\n");
    EXPECT_EQ(facts.files.at("/boot/firmware/network-config"), "network:\n  version: 2\n");
}

TEST_F(Vendor, FactsOfOurOwnBaseNameItsNewestKernel) {
    vendors::Image image = vendors::debian_raspi();
    image.root["/usr/lib/makina/base"] = "packages\n";
    image.root["/usr/lib/modules/6.12.9-arm64/modules.dep"] = "";
    image.root["/usr/lib/modules/6.12.117-arm64/modules.dep"] = "";
    const BaseFacts facts = read_facts(vendors::write(scratch, "a.img", image));
    EXPECT_EQ(facts.layout, Layout::debian);
    EXPECT_EQ(facts.kernel, "6.12.117-arm64");
}

TEST_F(Vendor, RefusesALayoutThatIsNotKnownAndSaysWhatItFound) {
    EXPECT_THAT(refusal([&] { (void)read_facts(vendors::write(scratch, "a.img", vendors::debian_raspi())); }),
                AllOf(HasSubstr("no layout that is known: found ID=debian, VERSION_ID=13, VERSION_CODENAME=trixie, "
                                "without /etc/rpi-issue, labels RASPIFIRM and RASPIROOT; supported are Raspberry Pi OS "
                                "bookworm and trixie (bootfs, rootfs) and Ubuntu 24.04 for the Raspberry Pi "
                                "(system-boot, writable)"),
                      HasSubstr("; for plain Debian use a base of packages instead of an image")));
    vendors::Image older = vendors::rpios_bookworm();
    older.root["/etc/os-release"] = "ID=debian\nVERSION_CODENAME=bull\x1b[31mseye\n";
    EXPECT_THAT(refusal([&] { (void)read_facts(vendors::write(scratch, "a.img", older)); }),
                HasSubstr("VERSION_CODENAME=bull?[31mseye, with /etc/rpi-issue, labels bootfs and rootfs"));
}

TEST_F(Vendor, RefusesAnImageWithoutItsBootFiles) {
    vendors::Image image = vendors::rpios_trixie();
    image.boot.erase("cmdline.txt");
    EXPECT_THAT(refusal([&] { (void)read_facts(vendors::write(scratch, "a.img", image)); }),
                HasSubstr("no cmdline.txt on the boot partition: the image is damaged, fetch it again"));
}

TEST_F(Vendor, RefusesAnImageFor32BitArm) {
    vendors::Image image = vendors::rpios_trixie();
    image.root["/usr/bin/dpkg"] = vendors::program(40);
    EXPECT_THAT(prepare(request(vendors::write(scratch, "a.img", image))),
                HasSubstr("the image is for 32-bit ARM (armhf): take the 64-bit image (arm64)"));
    image.root["/usr/bin/dpkg"] = vendors::program(62);
    EXPECT_THAT(prepare(request(vendors::write(scratch, "a.img", image))),
                HasSubstr("a.img: the image is for amd64 but the node needs arm64"));
    image.root["/usr/bin/dpkg"] = "#!/bin/sh\n";
    EXPECT_THAT(prepare(request(vendors::write(scratch, "a.img", image))),
                HasSubstr("/usr/bin/dpkg of the image is no program: it is damaged"));
    expect_empty_folder();
}

// --- preparing ---

TEST_F(Vendor, UnpacksEveryPackingToTheSameSparseImage) {
    const fs::path plain = vendors::write(scratch, "plain.img", vendors::rpios_trixie());
    const std::string bytes = slurp(plain);
    const std::vector<std::pair<std::string, vendors::Packing>> packings = {{"a.img.gz", vendors::Packing::gzip},
                                                                            {"a.img.xz", vendors::Packing::xz},
                                                                            {"a.img.zst", vendors::Packing::zstd},
                                                                            {"misnamed.txt", vendors::Packing::zip}};
    for (const auto& [name, packing] : packings) {
        const fs::path packed =
            vendors::pack(scratch / name, packing, {{"image.IMG", bytes}, {"README.txt", "read me"}});
        const BaseImage base = prepare_vendor_image(request(packed, sha256_of_file(packed)), folder);
        EXPECT_EQ(base.path, folder / "disk.img");
        EXPECT_TRUE(slurp(base.path) == bytes) << name;
        EXPECT_LT(allocated(base.path), 16 * mib) << name;
        EXPECT_EQ(base.facts.layout, Layout::rpios_trixie);
        EXPECT_EQ(base.facts.id.size(), 64U);
        fs::remove(base.path);
        expect_empty_folder();
    }
}

TEST_F(Vendor, MakesRoomWithoutTouchingTheVendorsIdentity) {
    for (const vendors::Image& image : {vendors::rpios_bookworm(), vendors::rpios_trixie(), vendors::ubuntu_2404()}) {
        const fs::path plain = vendors::write(scratch, "a.img", image);
        BaseRequest wanted = request(plain);
        wanted.base.free_bytes = 300 * mib;
        const BaseImage base = prepare_vendor_image(wanted, folder);
        const PartitionTable before = read_partition_table(plain);
        const PartitionTable after = read_partition_table(base.path);
        EXPECT_EQ(after.disk_id, before.disk_id);
        ASSERT_EQ(after.partitions.size(), 2U);
        EXPECT_EQ(after.find(1)->size, before.find(1)->size);
        EXPECT_EQ(after.find(2)->offset, before.find(2)->offset);
        EXPECT_EQ(after.find(2)->offset + after.find(2)->size, fs::file_size(base.path));
        const Ext4 root(base.path, after.find(2)->offset, false);
        EXPECT_GE(root.free_bytes(), 300 * mib);
        EXPECT_LT(root.free_bytes(), 330 * mib);
        EXPECT_EQ(root.label(), image.root_label);
        EXPECT_EQ(root.read_file("/etc/os-release"), image.root.at("/etc/os-release"));
        EXPECT_LT(allocated(base.path), 48 * mib);
        expect_clean(base.path);
        EXPECT_EQ(read_facts(base.path).files, read_facts(plain).files);
        fs::remove(base.path);
        expect_empty_folder();
    }
}

TEST_F(Vendor, GivesTheSameBytesWhereverItIsPrepared) {
    const fs::path plain = vendors::write(scratch, "a.img", vendors::rpios_trixie());
    const fs::path other = scratch / "elsewhere.img";
    fs::copy_file(plain, other);
    const fs::path second = scratch / "second";
    fs::create_directory(second);
    BaseRequest wanted = request(plain);
    wanted.base.free_bytes = 100 * mib;
    const BaseImage one = prepare_vendor_image(wanted, folder);
    wanted.base.source = other;
    const BaseImage two = prepare_vendor_image(wanted, second);
    EXPECT_EQ(sha256_of_file(one.path), sha256_of_file(two.path));
    EXPECT_EQ(one.facts.id, two.facts.id);
    wanted.base.free_bytes = 120 * mib;
    EXPECT_NE(prepare_vendor_image(wanted, second).facts.id, one.facts.id);
}

TEST_F(Vendor, FetchesAnImageAndResumesWhereAnEarlierRunStopped) {
    if (!have_program("curl")) GTEST_SKIP() << "curl is not installed";
    const fs::path plain = vendors::write(scratch, "a.img", vendors::ubuntu_2404());
    const fs::path packed = vendors::pack(scratch / "a.img.xz", vendors::Packing::xz, {{"a.img", slurp(plain)}});
    const std::string body = slurp(packed);
    const std::string hash = sha256(body);
    const std::size_t half = body.size() / 2;
    // What a killed run leaves.
    fs::create_directory(cache / "downloads");
    std::ofstream(cache / "downloads" / (hash + ".part"), std::ios::binary) << body.substr(0, half);
    const HttpServer server({{"/a.img.xz", Page{body}}});
    const BaseRequest wanted = request(server.url("/a.img.xz"), hash);
    EXPECT_EQ(prepare_vendor_image(wanted, folder).facts.layout, Layout::ubuntu_2404);
    EXPECT_THAT(server.asked(), testing::ElementsAre("/a.img.xz bytes=" + std::to_string(half) + "-"));
    EXPECT_TRUE(slurp(folder / "disk.img") == slurp(plain));
    EXPECT_FALSE(fs::exists(cache / "downloads" / hash));
}

TEST_F(Vendor, RefusesWhatItMayNotOrCannotFetch) {
    EXPECT_EQ(prepare(request("https://example.org/a.img.xz")),
              "preparing the base image: https://example.org/a.img.xz: an image from a URL needs its sha256 in the "
              "profile");
    BaseRequest offline = request("https://example.org/a.img.xz", std::string(64, 'a'));
    offline.offline = true;
    EXPECT_EQ(prepare(offline),
              "preparing the base image: https://example.org/a.img.xz was not fetched yet: build once without "
              "--offline, or name a local file");
}

TEST_F(Vendor, RefusesAWrongHashBeforeItUnpacks) {
    const fs::path file = scratch.write("a.img.xz", "not even an archive");
    const std::string wanted(64, 'a');
    EXPECT_EQ(prepare(request(file, wanted)), "untrusted: preparing the base image: " + file.string() + ": sha256 is " +
                                                  sha256("not even an archive") + " but must be " + wanted +
                                                  ": the file is not the one that was meant");
    expect_empty_folder();
}

TEST_F(Vendor, ReplacesWhatAKilledRunLeft) {
    const fs::path plain = vendors::write(scratch, "a.img", vendors::rpios_trixie());
    std::ofstream(folder / "disk.img.part") << std::string(200 * mib, 'x');
    std::ofstream(folder / "disk.img.part.root") << "x";
    BaseRequest wanted = request(plain);
    wanted.base.free_bytes = 40 * mib;
    expect_clean(prepare_vendor_image(wanted, folder).path);
    fs::remove(folder / "disk.img");
    expect_empty_folder();
}

/// Runs `work` in a child that no file may grow over `largest` bytes for: the kernel ends it there and then.
/// Gives the signal that ended it, 0 for none.
int killed_by(std::uint64_t largest, const std::function<void()>& work) {
    const pid_t child = fork();
    if (child == 0) {
        const rlimit limit{largest, largest};
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(1);
        (void)refusal(work);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST_F(Vendor, LeavesNothingUnderTheFinalNameWhenItIsKilled) {
    const fs::path plain = vendors::write(scratch, "a.img", vendors::rpios_trixie());
    BaseRequest wanted = request(plain, sha256_of_file(plain));
    wanted.base.free_bytes = 64 * mib;
    const std::string whole = sha256_of_file(prepare_vendor_image(wanted, folder).path);
    fs::remove(folder / "disk.img");
    int lines = 0;
    for (int last = 1; last <= 3; ++last) {
        wanted.say = [&](const std::string&) {
            if (++lines == last) (void)raise(SIGKILL);
        };
        EXPECT_EQ(killed_by(RLIM_INFINITY, [&] { (void)prepare_vendor_image(wanted, folder); }), SIGKILL) << last;
        EXPECT_FALSE(fs::exists(folder / "disk.img"));
    }
    wanted.say = [](const std::string&) {};
    // In the middle of unpacking, and when the image is made longer.
    for (const std::uint64_t largest : {46 * mib, fs::file_size(plain) + mib}) {
        EXPECT_EQ(killed_by(largest, [&] { (void)prepare_vendor_image(wanted, folder); }), SIGXFSZ) << largest;
        EXPECT_FALSE(fs::exists(folder / "disk.img"));
    }
    EXPECT_EQ(sha256_of_file(prepare_vendor_image(wanted, folder).path), whole);
    fs::remove(folder / "disk.img");
    expect_empty_folder();
}

TEST_F(Vendor, SaysThatTheImageCannotBeWrittenAndCleansUp) {
    const fs::path plain = vendors::write(scratch, "a.img", vendors::rpios_trixie());
    const std::string words = scratch / "words";
    (void)killed_by(46 * mib, [&] {
        (void)std::signal(SIGXFSZ, SIG_IGN);
        const std::string said = prepare(request(plain));
        std::ofstream(words) << said;
    });
    EXPECT_EQ(slurp(words),
              "preparing the base image: writing " + (folder / "disk.img.part").string() + ": file too large");
    expect_empty_folder();
}

// --- bad input ---

TEST_F(Vendor, RefusesAFileThatIsNoImage) {
    const std::string end = ": neither a disk image nor one packed with xz, zstd, gzip or zip";
    const fs::path text = scratch.write("text.img", std::string(5000, 't'));
    EXPECT_EQ(prepare(request(text)), "preparing the base image: " + text.string() + end);
    const fs::path small = scratch.write("small.img", "x");
    EXPECT_EQ(prepare(request(small)), "preparing the base image: " + small.string() + end);
    const fs::path empty = scratch.write("empty.img", "");
    EXPECT_EQ(prepare(request(empty)), "preparing the base image: " + empty.string() + ": the file is empty");
    EXPECT_EQ(prepare(request(cache)), "preparing the base image: " + cache.string() + ": not a regular file");
    EXPECT_EQ(prepare(request(cache, std::string(64, 'a'))),
              "preparing the base image: " + cache.string() + ": not a regular file");
    EXPECT_EQ(prepare(request(scratch / "none")),
              "preparing the base image: opening " + (scratch / "none").string() + ": no such file or directory");
    const fs::path packed = vendors::pack(scratch / "t.gz", vendors::Packing::gzip, {{"t", std::string(5000, 't')}});
    EXPECT_EQ(prepare(request(packed)),
              "preparing the base image: " + packed.string() + ": what is packed in it is no disk image (no MBR)");
    expect_empty_folder();
}

TEST_F(Vendor, RefusesAZipWithoutExactlyOneImage) {
    std::string image(4096, '\0');
    image[510] = '\x55';
    image[511] = '\xaa';
    const fs::path two =
        vendors::pack(scratch / "two.zip", vendors::Packing::zip, {{"a.img", image}, {"b.img", image}});
    EXPECT_EQ(prepare(request(two)),
              "preparing the base image: " + two.string() + ": more than one .img in the zip: unpack the right one");
    const fs::path none = vendors::pack(scratch / "none.zip", vendors::Packing::zip, {{"a.txt", image}});
    EXPECT_EQ(prepare(request(none)), "preparing the base image: " + none.string() + ": no .img in the zip");
    expect_empty_folder();
}

TEST_F(Vendor, TakesOnlyTheBytesOfAZipAndNeverItsNames) {
    const std::string bytes = slurp(vendors::write(scratch, "a.img", vendors::rpios_bookworm()));
    const fs::path packed = vendors::pack(scratch / "a.zip", vendors::Packing::zip,
                                          {{"../../../../../../tmp/makina-escaped.img", bytes}, {"/etc/x", "x"}});
    EXPECT_TRUE(slurp(prepare_vendor_image(request(packed), folder).path) == bytes);
    EXPECT_FALSE(fs::exists("/tmp/makina-escaped.img"));
    EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST_F(Vendor, RefusesAPackedImageThatIsCutOffAnywhere) {
    const std::string bytes = slurp(vendors::write(scratch, "a.img", vendors::rpios_bookworm()));
    for (const auto packing :
         {vendors::Packing::gzip, vendors::Packing::xz, vendors::Packing::zstd, vendors::Packing::zip}) {
        const std::string whole = slurp(vendors::pack(scratch / "whole", packing, {{"a.img", bytes}}));
        for (const std::size_t size : {whole.size() / 7, whole.size() / 2, whole.size() * 9 / 10}) {
            const fs::path cut = scratch.write("cut", whole.substr(0, size));
            EXPECT_THAT(prepare(request(cut)),
                        AllOf(StartsWith("preparing the base image: " + cut.string() + ": damaged or cut off ("),
                              HasSubstr("): fetch it again")))
                << static_cast<int>(packing) << " at " << size;
            expect_empty_folder();
        }
    }
}

/// An image with bytes that do not pack: the middle of every archive is among them, and each of its bits counts.
std::string noisy_image(const Scratch& scratch) {
    vendors::Image image = vendors::rpios_bookworm();
    std::uint32_t seed = 5;
    std::string& noise = image.root["/usr/lib/noise"];
    while (noise.size() < 2 * mib) noise += static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
    return slurp(vendors::write(scratch, "noisy.img", image));
}

std::string with_flipped_bit(std::string packed, int bit) {
    packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ (1 << bit));
    return packed;
}

TEST_F(Vendor, RefusesAPackedImageWithAFlippedBit) {
    const std::string bytes = noisy_image(scratch);
    for (const auto packing : {vendors::Packing::gzip, vendors::Packing::xz, vendors::Packing::zip}) {
        const std::string good = slurp(vendors::pack(scratch / "whole", packing, {{"a.img", bytes}}));
        for (const int bit : {0, 3, 7}) {
            EXPECT_THAT(prepare(request(scratch.write("bad", with_flipped_bit(good, bit)))),
                        HasSubstr(": damaged or cut off ("))
                << static_cast<int>(packing) << " bit " << bit;
            expect_empty_folder();
        }
    }
}

TEST_F(Vendor, RefusesAZstdImageWithAFlippedBit) {
    // The zstd program adds a checksum to what it packs, libarchive does not.
    if (!have_program("zstd")) GTEST_SKIP() << "zstd is not installed";
    (void)noisy_image(scratch);
    run_checked({{"zstd", "-q", "-1", (scratch / "noisy.img").string(), "-o", (scratch / "a.zst").string()}});
    for (const int bit : {0, 3, 7}) {
        const fs::path bad = scratch.write("bad", with_flipped_bit(slurp(scratch / "a.zst"), bit));
        EXPECT_THAT(prepare(request(bad)), HasSubstr(": damaged or cut off (")) << bit;
        expect_empty_folder();
    }
}

TEST_F(Vendor, StopsASourceThatUnpacksWithoutEnd) {
    std::string image(64 * mib, '\0');
    image[510] = '\x55';
    image[511] = '\xaa';
    const fs::path target = folder / "disk.img.part";
    for (const auto packing : {vendors::Packing::gzip, vendors::Packing::zstd, vendors::Packing::zip}) {
        const fs::path bomb = vendors::pack(scratch / "bomb", packing, {{"a.img", image}});
        UnpackLimits limits;
        limits.ratio = 500;
        limits.ratio_from = 16 * mib;
        EXPECT_EQ(refusal([&] { (void)unpack_image(bomb, target, limits); }),
                  bomb.string() + ": unpacks to more than 500 times its size: this is no image of a distribution");
        limits = {};
        limits.size = 32 * mib;
        EXPECT_EQ(refusal([&] { (void)unpack_image(bomb, target, limits); }),
                  bomb.string() + ": unpacks to more than 32 MiB: no such image is for an SD card");
        EXPECT_LT(allocated(target), mib);
    }
}

TEST_F(Vendor, RefusesAGpt) {
    const fs::path file = scratch.write("gpt.img", std::string(64 * mib, '\0'));
    run_checked({.argv = {"sfdisk", "-q", file.string()}, .input = "label: gpt\n,8M\n,\n"});
    EXPECT_THAT(prepare(request(file)), HasSubstr("no MBR partition table"));
    expect_empty_folder();
}

TEST_F(Vendor, RefusesAnImageThatIsTruncated) {
    const vendors::Image image = vendors::rpios_trixie();
    const fs::path file = vendors::write(scratch, "a.img", image);
    const std::uint64_t size = fs::file_size(file);
    for (const std::uint64_t left : {size - 4096, size - 12 * mib, image.boot_offset + 512, std::uint64_t{512}}) {
        fs::resize_file(file, left);
        EXPECT_THAT(prepare(request(file)), HasSubstr("reaches behind the end of the file: the image is truncated"));
        expect_empty_folder();
    }
}

TEST_F(Vendor, RefusesAFileSystemThatWasNotUnmountedOrIsDamaged) {
    const vendors::Image image = vendors::rpios_bookworm();
    const std::uint64_t superblock = image.boot_offset + image.boot_size + 1024;
    BaseRequest wanted = request(vendors::write(scratch, "a.img", image));
    wanted.base.free_bytes = 100 * mib;
    const std::string good = slurp(wanted.base.source);
    const auto with = [&](const std::string& command) {
        const fs::path root = scratch.write("root", good.substr(superblock - 1024));
        run_checked({{"debugfs", "-w", "-R", command, root.string()}});
        const fs::path file = scratch.write("bad.img", good.substr(0, superblock - 1024) + slurp(root));
        wanted.base.source = file;
        return prepare(wanted);
    };
    EXPECT_THAT(with("feature needs_recovery"), HasSubstr("the ext4 journal needs recovery"));
    EXPECT_THAT(with("ssv state 0"), HasSubstr("was not unmounted cleanly or has errors"));
    EXPECT_THAT(with("feature FEATURE_I30"), HasSubstr("unsupported feature"));
    expect_empty_folder();
}

TEST_F(Vendor, RefusesPartitionsThatAreInTheWay) {
    const vendors::Image image = vendors::rpios_bookworm();
    const fs::path file = vendors::write(scratch, "a.img", image);
    PartitionTable table = read_partition_table(file);
    const std::uint64_t end = fs::file_size(file);
    fs::resize_file(file, end + 8 * mib);
    table.partitions.push_back({3, end, 8 * mib, 0x83});
    write_partition_table(file, table);
    BaseRequest wanted = request(file);
    wanted.base.free_bytes = 100 * mib;
    EXPECT_THAT(prepare(wanted), HasSubstr("partition 3 is in the way of a larger root file system"));
    expect_empty_folder();
}

/// Flips bytes of a good image in one range, with fixed seeds, and reads it: an answer or an Error, nothing else. Gives
/// how often it was refused.
[[nodiscard]] int read_damaged(const Scratch& scratch, std::uint64_t from, std::uint64_t size, int rounds, int flips) {
    const fs::path file = vendors::write(scratch, "fuzzed.img", vendors::rpios_trixie());
    std::string good(size, '\0');
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(from));
    stream.read(good.data(), static_cast<std::streamsize>(size));
    std::uint32_t seed = 11;
    int refused = 0;
    for (int round = 0; round < rounds; ++round) {
        std::string bad = good;
        for (int i = 0; i < flips; ++i) {
            seed = seed * 1664525 + 1013904223;
            bad[(seed >> 8) % size] = static_cast<char>(seed >> 3);
        }
        stream.seekp(static_cast<std::streamoff>(from));
        stream.write(bad.data(), static_cast<std::streamsize>(size)).flush();
        if (refusal([&] { (void)read_facts(file); }) != "accepted") ++refused;
    }
    stream.seekp(static_cast<std::streamoff>(from));
    stream.write(good.data(), static_cast<std::streamsize>(size)).flush();
    EXPECT_EQ(refusal([&] { (void)read_facts(file); }), "accepted");
    return refused;
}

TEST_F(Vendor, NeverCrashesOnADamagedPartitionTable) {
    EXPECT_GT(read_damaged(scratch, 440, 72, 60, 3), 0);
}

TEST_F(Vendor, NeverCrashesOnADamagedFat) {
    // mkfs.fat keeps 32 sectors for itself, then two tables of 4 bytes a cluster of 512, then the root folder.
    const std::uint64_t tables = 8 * mib + 32 * 512;
    std::ifstream image(vendors::write(scratch, "fuzzed.img", vendors::rpios_trixie()), std::ios::binary);
    image.seekg(8 * mib + 36);
    std::array<unsigned char, 2> sectors{};
    image.read(reinterpret_cast<char*>(sectors.data()), 2);
    const std::uint64_t root = tables + std::uint64_t{2} * 512 * (sectors[0] + 256U * sectors[1]);
    EXPECT_GT(read_damaged(scratch, 8 * mib, 90, 40, 3), 0);
    EXPECT_GT(read_damaged(scratch, root, 512, 30, 40), 0);
    // The texts are one cluster each: their chains do not matter, but they are followed.
    (void)read_damaged(scratch, tables, 512, 30, 100);
}

TEST_F(Vendor, NeverCrashesOnADamagedRootFileSystem) {
    EXPECT_GT(read_damaged(scratch, 44 * mib, mib, 40, 200), 0);
}

// --- what the plan makes of it ---

struct Switched {
    std::string name;
    vendors::Image image;
    std::vector<std::string> gone;     ///< words of cmdline.txt
    std::vector<std::string> masked;   ///< units and generators that end in /dev/null
    std::vector<std::string> removed;  ///< paths
};

std::size_t count_words(const std::string& line, const std::string& word) {
    std::istringstream words(line);
    std::size_t count = 0;
    for (std::string each; words >> each;) count += each == word ? 1 : 0;
    return count;
}

void expect_switched_off(const ImagePlan& plan, const Switched& expected) {
    SCOPED_TRACE(expected.name);
    const File* const cmdline = plan.files.find("/boot/firmware/cmdline.txt");
    ASSERT_NE(cmdline, nullptr);
    EXPECT_EQ(std::count(cmdline->content.begin(), cmdline->content.end(), '\n'), 1);
    EXPECT_EQ(count_words(cmdline->content, "cgroup_enable=memory"), 1U) << cmdline->content;
    EXPECT_EQ(count_words(cmdline->content, "rootwait"), 1U) << cmdline->content;
    for (const std::string& word : expected.gone) EXPECT_EQ(count_words(cmdline->content, word), 0U) << word;
    for (const std::string& path : expected.masked) {
        const File* const file = plan.files.find(path);
        const bool removed = std::find(plan.removals.begin(), plan.removals.end(), path) != plan.removals.end();
        EXPECT_TRUE(removed || (file != nullptr && file->content == "/dev/null")) << path;
    }
    for (const std::string& path : expected.removed) EXPECT_THAT(plan.removals, testing::Contains(path));
    EXPECT_NE(plan.files.find("/etc/cloud/cloud-init.disabled"), nullptr);
}

TEST_F(Vendor, GrowersSwapWizardsAndCloudInitAreSwitchedOffByThePlan) {
    const std::string units = "/etc/systemd/system/";
    const std::vector<std::string> seeds = {"/boot/firmware/user-data", "/boot/firmware/meta-data",
                                            "/boot/firmware/network-config"};
    const std::vector<Switched> layouts = {
        {"bookworm",
         vendors::rpios_bookworm(),
         {"init=/usr/lib/raspberrypi-sys-mods/firstboot", "quiet"},
         {units + "userconfig.service", units + "dphys-swapfile.service"},
         {}},
        {"trixie",
         vendors::rpios_trixie(),
         {"resize"},
         {units + "userconfig.service", units + "rpi-resize.service",
          "/etc/systemd/system-generators/rpi-swap-generator", "/etc/systemd/system-generators/zram-generator"},
         seeds},
        {"ubuntu", vendors::ubuntu_2404(), {}, {}, seeds}};
    Profile profile = clusters::single();
    profile.extras[Role::worker].kernel_arguments = {"cgroup_enable=memory"};
    for (const Switched& layout : layouts) {
        const BaseFacts facts = read_facts(vendors::write(scratch, "a.img", layout.image));
        for (const Node& node : profile.nodes) {
            expect_switched_off(plan_image(profile, node, facts, fs::path(MAKINA_SOURCE) / "overlays"), layout);
        }
    }
}

}  // namespace
}  // namespace makina
