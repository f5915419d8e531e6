#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "builder/flash/device.hpp"
#include "builder/manifest.hpp"
#include "builder/process.hpp"
#include "firstboot/bundle/bundle.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/flash/card_model.hpp"
#include "tests/flash/loop.hpp"
#include "tests/flash/person.hpp"
#include "tests/flash/suite.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/small_image.hpp"

namespace makina::flashing {
namespace {

namespace fs = std::filesystem;
constexpr std::uint64_t mib = 1 << 20;

class Program : public testing::Test {
  protected:
    Program() : image_(scratch_ / "small.img"), target_(scratch_ / "card") {
        small_image::make(image_, "master-1");
        small_image::put_root(image_, "/numbers", std::string(5 << 20, 'n'));
    }
    [[nodiscard]] std::vector<std::string> command(const std::string& target,
                                                   const std::vector<std::string>& more = {}) const {
        std::vector<std::string> argv = {MAKINA_IMAGE, "flash", image_.string(), target, "--yes-device", target};
        argv.insert(argv.end(), more.begin(), more.end());
        return argv;
    }
    void make_disk(const fs::path& file, std::uint64_t size, char old = 'o') const {
        std::ofstream(file, std::ios::binary) << std::string(size, old);
    }
    [[nodiscard]] bool has_image(const fs::path& target) const {
        PatchedImage image(image_);
        const PatchedImage card(target);
        if (card.size() < image.size()) return false;
        std::string a(1 << 20, '\0');
        std::string b = a;
        for (const Extent& used : used_by_image(image)) {
            for (std::uint64_t at = used.offset; at < used.end(); at += a.size()) {
                const std::size_t part = std::min<std::uint64_t>(a.size(), used.end() - at);
                image.read(at, a.data(), part);
                card.read(at, b.data(), part);
                if (a.compare(0, part, b, 0, part) != 0) return false;
            }
        }
        return true;
    }
    [[nodiscard]] static bool is_bootable(const fs::path& target) {
        std::string block(4096, '\0');
        PatchedImage(target).read(0, block.data(), block.size());
        return block != std::string(4096, '\0');
    }

    Scratch scratch_;
    fs::path image_, target_;
};

/// Starts it and kills it after so long; gives the seconds that it ran if it ended before.
std::optional<double> kill_after(const std::vector<std::string>& argv, std::chrono::duration<double> delay) {
    const auto started = std::chrono::steady_clock::now();
    const pid_t pid = fork();
    if (pid == 0) {
        const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
        for (const int stream : {0, 1, 2}) dup2(nothing, stream);
        _exit(start(argv)());
    }
    int status = 0;
    while (std::chrono::steady_clock::now() - started < delay) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return std::nullopt;
}

TEST_F(Program, WritesAFileThatIsTheImage) {
    const Result result = run({command(target_.string(), {"--json"})});
    ASSERT_EQ(result.status, 0) << result.errors;
    EXPECT_TRUE(has_image(target_));
    EXPECT_EQ(fs::file_size(target_), fs::file_size(image_));
    EXPECT_EQ(fs::status(target_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
    const auto last = nlohmann::json::parse(result.output.substr(result.output.rfind("{\"event\":\"flashed\"")));
    EXPECT_EQ(last["verdict"], "verified");
    EXPECT_EQ(last["size"], fs::file_size(image_));
    EXPECT_EQ(last["target"], target_.string());
}

TEST_F(Program, RefusesWhatIsNoCard) {
    const auto refused = [&](const std::vector<std::string>& more, const std::string& words) {
        std::vector<std::string> argv = {MAKINA_IMAGE, "flash", image_.string()};
        argv.insert(argv.end(), more.begin(), more.end());
        const Result result = run({argv});
        EXPECT_EQ(result.status, 2) << words;
        EXPECT_NE(result.errors.find(words), std::string::npos) << result.errors;
    };
    refused({"/dev/null"}, "/dev/null: there is no such device");
    refused({"/dev/sdzz"}, "/dev/sdzz: there is no such device");
    refused({scratch_.path().string()}, "is neither a block device nor a plain file");
    refused({image_.string()}, "is the image itself");
    refused({(scratch_ / "no/card").string()}, "there is no such folder");
    refused({}, "say which device");
    make_disk(target_, 4096);
    refused({target_.string()}, "say --yes-device");
    refused({target_.string(), target_.string(), "--yes-device", target_.string()}, "is named twice");
    EXPECT_EQ(slurp(target_), std::string(4096, 'o'));
    fs::create_symlink(target_, scratch_ / "link");
    EXPECT_EQ(run({command((scratch_ / "link").string())}).status, 1);
    EXPECT_EQ(slurp(target_), std::string(4096, 'o'));
}

TEST_F(Program, MakesNoFileOfADeviceNameWithoutItsFolder) {
    const auto flashed = [&](const std::string& target) {
        return run({{"sh", "-c", "cd \"$0\" && exec \"$1\" flash \"$2\" \"$3\"", scratch_.path().string(), MAKINA_IMAGE,
                     image_.string(), target}});
    };
    const Result bare = flashed("sdzz");
    EXPECT_EQ(bare.status, 2);
    EXPECT_EQ(bare.errors, "sdzz is no device; did you mean /dev/sdzz? a file: ./sdzz\n");
    const std::string id = "usb-Generic_1.00_0819-0:0";
    const Result by_id = flashed(id);
    EXPECT_EQ(by_id.status, 2);
    EXPECT_EQ(by_id.errors,
              id + " is no device; makina-image flash --list shows those that are there; a file: ./" + id + "\n");
    EXPECT_FALSE(fs::exists(scratch_ / "sdzz") || fs::exists(scratch_ / id));
    for (const char* const file : {"./sdzz", "copy.img"}) {
        EXPECT_EQ(flashed(file).status, 0) << file;
        EXPECT_TRUE(fs::exists(scratch_ / file)) << file;
    }
}

TEST_F(Program, RefusesAFileThatIsNoImageBeforeAnythingIsWritten) {
    make_disk(target_, 4096);
    const auto flashed = [&](const fs::path& file, const std::vector<std::string>& more = {}) {
        std::vector<std::string> argv = {MAKINA_IMAGE,     "flash",        file.string(),
                                         target_.string(), "--yes-device", target_.string()};
        argv.insert(argv.end(), more.begin(), more.end());
        return run({argv});
    };
    const auto refused = [&](const fs::path& file, const std::string& words) {
        const Result result = flashed(file);
        EXPECT_EQ(result.status, 2) << file;
        EXPECT_EQ(result.errors, file.string() + words + "\n");
        EXPECT_EQ(slurp(target_), std::string(4096, 'o')) << file;
    };
    const std::string page = "<!DOCTYPE html>\n<title>404</title>\n";
    const std::string none = " is no disk image: it has no partition table; --any-content writes it all the same";
    refused(scratch_.write("empty.img", ""), " is empty: fetch it again");
    refused(scratch_.write("empty.img.xz", ""), " is empty: fetch it again");
    refused(scratch_.write("page.img.xz", page), " is no .xz file, though its name says so: fetch it again");
    refused(scratch_.write("raw.img.gz", slurp(image_)), " is no .gz file, though its name says so: fetch it again");
    refused(scratch_.write("page.img", page), none);
    refused(scratch_.write("makina.yaml", "cluster: {name: makina}\n"), none);
    refused(scratch_.write("zeros.img", std::string(2 * mib, '\0')), none);
    refused(scratch_.write("page.img.zst", run_checked({{"zstd", "-c", "-q", (scratch_ / "page.img").string()}})),
            none);
    const auto archive = [](const std::string& name, const std::string& program) {
        return " is " + name + ", no disk image: unpack it first with \"" + program + "\"";
    };
    const std::string rest(600, 'r');
    refused(scratch_.write("a.zip", "PK\3\4" + rest), archive("a zip archive", "unzip"));
    refused(scratch_.write("a.img.xz", "PK\3\4" + rest), archive("a zip archive", "unzip"));
    refused(scratch_.write("a.7z", "7z\xbc\xaf\x27\x1c" + rest), archive("a 7z archive", "7z x"));
    refused(scratch_.write("a.img.bz2", "BZh9" + rest), archive("packed with bzip2", "bunzip2"));
    const std::vector<std::string> tar = {"tar", "-C", scratch_.path().string(), "-c", "page.img"};
    refused(scratch_.write("a.tar", run_checked({tar})), archive("a tar archive", "tar -xf"));
    const std::vector<std::string> tar_gz = {"tar", "-C", scratch_.path().string(), "-cz", "page.img"};
    refused(scratch_.write("a.tar.gz", run_checked({tar_gz})), archive("a tar archive", "tar -xf"));

    EXPECT_EQ(flashed(scratch_ / "empty.img", {"--any-content"}).status, 2);
    EXPECT_EQ(slurp(target_), std::string(4096, 'o'));
    EXPECT_EQ(flashed(scratch_ / "page.img", {"--any-content"}).status, 0);
    EXPECT_EQ(slurp(target_), page);
}

TEST_F(Program, WritesAFileSystemWithoutAPartitionTable) {
    const fs::path raw = scratch_ / "root.img";
    std::ofstream(raw).close();
    fs::resize_file(raw, 4 * mib);
    run_checked({{"mke2fs", "-q", "-F", "-t", "ext4", raw.string()}});
    EXPECT_EQ(run({{MAKINA_IMAGE, "flash", raw.string(), target_.string()}}).status, 0);
    std::string disc(64 * 1024, '\0');
    disc.replace(32769, 5, "CD001");
    EXPECT_EQ(
        run({{MAKINA_IMAGE, "flash", scratch_.write("cd.iso", disc).string(), (scratch_ / "cd").string()}}).status, 0);
}

TEST_F(Program, ListsDevicesAsJsonWhenItIsAskedTo) {
    const Result list = run({{MAKINA_IMAGE, "flash", "--list", "--json"}});
    EXPECT_EQ(list.status, 0) << list.errors;
    std::istringstream lines(list.output);
    for (std::string line; std::getline(lines, line);) {
        const auto device = nlohmann::json::parse(line, nullptr, false);
        EXPECT_TRUE(device.is_object() && device["event"] == "device") << line;
    }
}

TEST_F(Program, SaysThatThereIsNoReceiptWithoutTheKeys) {
    Manifest manifest;
    manifest.cluster = "makina";
    manifest.node = "master-1";
    manifest.role = "control-plane";
    manifest.base = "test";
    small_image::put_root(image_, Manifest::path, encode(manifest));
    small_image::put_root(image_, Bundle::path, "a bundle");
    const std::string keys = (scratch_ / "no-keys").string();
    const Result result = run({command(target_.string(), {"--keys", keys})});
    EXPECT_EQ(result.status, 0) << result.errors;
    EXPECT_EQ(result.errors.rfind("warning: the ledger gets no receipt of small.img: the keys of makina are not in " +
                                      keys + "; --keys says where they are\n",
                                  0),
              0U)
        << result.errors;
    EXPECT_EQ(run({command(target_.string(), {"--keys", keys, "--quiet"})}).errors, "");
}

TEST_F(Program, AsksAPersonAndTakesNoOtherAnswer) {
    make_disk(target_, 4096);
    const std::vector<std::string> argv = {MAKINA_IMAGE, "flash", image_.string(), target_.string()};
    for (const char* const wrong : {"\n", "yes\n", "y\n", "small.img\n", "\x04"}) {
        const auto [said, code] = on_a_terminal(start(argv), {{"To go on, type", wrong}});
        EXPECT_EQ(code, 2) << said;
        EXPECT_NE(said.find("nothing was written"), std::string::npos) << said;
        EXPECT_EQ(slurp(target_), std::string(4096, 'o'));
    }
    const auto [said, code] = on_a_terminal(start(argv), {{"To go on, type", "card\n"}});
    EXPECT_EQ(code, 0) << said;
    EXPECT_NE(said.find("complete"), std::string::npos) << said;
    EXPECT_TRUE(has_image(target_));
}

TEST_F(Program, WritesSeveralCardsAtOnceAndSaysWhatFailed) {
    const std::vector<std::string> argv = {MAKINA_IMAGE,    "flash",          "--json",
                                           image_.string(), target_.string(), (scratch_ / "second").string()};
    EXPECT_EQ(run({argv}).status, 0);
    EXPECT_TRUE(has_image(target_));
    EXPECT_TRUE(has_image(scratch_ / "second"));
    const fs::path packed = scratch_.write("cut.img.xz", run_checked({{"xz", "-1", "-c", image_.string()}}));
    fs::resize_file(packed, fs::file_size(packed) / 2);
    const Result cut = run({{MAKINA_IMAGE, "flash", packed.string(), (scratch_ / "third").string()}});
    EXPECT_EQ(cut.status, 1);
    EXPECT_FALSE(sounds_good(cut.errors)) << cut.errors;
    EXPECT_NE(cut.errors.find("the file ends too early: fetch it again; it does not boot: its first MiB is empty"),
              std::string::npos)
        << cut.errors;
}

TEST_F(Program, LeavesTheFirstTargetAloneIfTheSecondCannotBeOpened) {
    make_disk(target_, 4096);
    make_disk(scratch_ / "second", 4096);
    const std::string second = (scratch_ / "second").string();
    const Descriptor held(open(second.c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(flock(held.get(), LOCK_EX | LOCK_NB), 0);
    const Result result = run({command(target_.string(), {second, "--yes-device", second})});
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.errors.find("somebody else is writing it"), std::string::npos) << result.errors;
    EXPECT_EQ(slurp(target_), std::string(4096, 'o'));
}

TEST_F(Program, HasTheZerosOfAUsedCardWithAMapBesideTheImageAndSaysWhatItDoesNotCheck) {
    make_disk(target_, 64 * mib, '\xa5');
    const Loop loop(target_);
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    // As an old bmaptool makes one of a file with holes.
    std::string ranges;
    const PatchedImage image(image_);
    for (const Extent& data : data_extents(image.descriptor(), 0, image.size())) {
        ranges += "<Range sha1=\"0\"> " + std::to_string(data.offset / 4096) + "-" +
                  std::to_string((data.end() - 1) / 4096) + " </Range>";
    }
    scratch_.write("small.img.bmap", "<bmap version=\"1.3\"><ImageSize> " + std::to_string(image.size()) +
                                         " </ImageSize><BlockSize> 4096 </BlockSize><BlockMap>" + ranges +
                                         "</BlockMap></bmap>");
    const Result result = run({command(loop.name())});
    ASSERT_EQ(result.status, 0) << result.errors;
    EXPECT_NE(result.errors.find("small.img.bmap has no checksums of a kind that is looked at: sha1 instead of sha256"),
              std::string::npos)
        << result.errors;
    EXPECT_TRUE(has_image(target_));
}

TEST_F(Program, EndsWithAFaultIfAFileCannotGrow) {
    // A limit for files stands for a disk that is full in the middle; in units of 512 bytes.
    for (const int limit : {1, 64, 2048, 8 * 2048, 13 * 2048}) {
        make_disk(target_, 4096);
        const std::string limited = "trap '' XFSZ; ulimit -f " + std::to_string(limit) + "; exec \"$0\" \"$@\"";
        std::vector<std::string> argv = {"sh", "-c", limited};
        for (const std::string& word : command(target_.string())) argv.push_back(word);
        const Result result = run({argv});
        EXPECT_EQ(result.status, 1) << limit << result.errors;
        EXPECT_FALSE(sounds_good(result.errors + result.output)) << result.errors;
        EXPECT_FALSE(is_bootable(target_)) << limit;
    }
}

TEST_F(Program, EndsWithAFaultIfADeviceBreaksInTheMiddle) {
    const fs::path small = scratch_ / "small";
    fs::create_directory(small);
    if (run({{"mount", "-t", "tmpfs", "-o", "size=8m", "none", small.string()}}).status != 0)
        GTEST_SKIP() << "mount takes root";
    {
        std::ofstream(small / "disk").close();
        fs::resize_file(small / "disk", 64 * mib);
        const Loop loop(small / "disk");
        if (!loop.name().empty()) {
            const Result result = run({command(loop.name())});
            EXPECT_EQ(result.status, 1) << result.errors;
            EXPECT_FALSE(sounds_good(result.errors + result.output)) << result.errors;
            EXPECT_NE(result.errors.find(loop.name()), std::string::npos) << result.errors;
            EXPECT_FALSE(is_bootable(small / "disk"));
        }
    }
    EXPECT_EQ(run({{"umount", "--lazy", small.string()}}).status, 0);
}

TEST_F(Program, IsKilledAtAnyMomentAndTheFileDoesNotBootOrIsComplete) {
    const std::vector<std::string> argv = command(target_.string());
    make_disk(target_, 40 * mib);
    double whole = 0;
    for (int i = 0; i < 3; ++i) whole = std::max(whole, kill_after(argv, std::chrono::seconds(60)).value());
    std::size_t complete = 0;
    const int kills = 200;
    for (int i = 0; i < kills; ++i) {
        make_disk(target_, 2 * mib);
        (void)kill_after(argv, std::chrono::duration<double>(whole * (i + 1) / kills));
        count("kills", 1);
        const bool untouched = fs::file_size(target_) == 2 * mib && slurp(target_) == std::string(2 * mib, 'o');
        if (untouched || !is_bootable(target_)) continue;
        ++complete;
        ASSERT_TRUE(has_image(target_)) << i;
    }
    count("kills_complete", complete);
    EXPECT_GT(complete, 0U);
    EXPECT_LT(complete, 200U);
}

TEST_F(Program, StopsAtCtrlCWithoutACardThatBoots) {
    make_disk(target_, 2 * mib);
    std::size_t interrupted = 0;
    for (int i = 0; i < 20; ++i) {
        const pid_t pid = fork();
        if (pid == 0) {
            const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
            for (const int stream : {0, 1, 2}) dup2(nothing, stream);
            execl(MAKINA_IMAGE, "makina-image", "flash", image_.c_str(), target_.c_str(), "--yes-device",
                  target_.c_str(), nullptr);
            _exit(127);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(5 * i));
        kill(pid, SIGINT);
        int status = 0;
        waitpid(pid, &status, 0);
        const bool good = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        interrupted += good ? 0 : 1;
        const bool untouched = slurp(target_) == std::string(2 * mib, 'o');
        const bool complete = has_image(target_);
        EXPECT_TRUE(untouched || is_bootable(target_) == complete) << i;
        // It may be complete before the program hears of it, but success is only said of one that is.
        EXPECT_TRUE(complete || !good) << i;
        make_disk(target_, 2 * mib);
    }
    EXPECT_GT(interrupted, 0U);
}

TEST_F(Program, WritesALoopDeviceWithNothingOldLeftAtItsEnds) {
    make_disk(target_, 64 * mib);
    const Loop loop(target_);
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    const Result result = run({command(loop.name())});
    ASSERT_EQ(result.status, 0) << result.errors;
    EXPECT_TRUE(has_image(target_));
    EXPECT_TRUE(slurp(target_).substr(63 * mib) == std::string(mib, '\0'));
    EXPECT_EQ(run({{MAKINA_IMAGE, "flash", image_.string(), loop.name()}}).status, 2);
}

TEST_F(Program, IsKilledAtAnyMomentAndTheLoopDeviceDoesNotBootOrIsComplete) {
    make_disk(target_, 64 * mib);
    const Loop loop(target_);
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    const std::vector<std::string> argv = command(loop.name());
    const double whole = kill_after(argv, std::chrono::seconds(60)).value();
    const std::string old(4096, 'o');
    std::string rest = slurp(target_).substr(4096);
    const int kills = long_form() ? 200 : 50;
    for (int i = 0; i < kills; ++i) {
        const Descriptor device(open(loop.name().c_str(), O_RDWR | O_CLOEXEC));
        ASSERT_EQ(pwrite(device.get(), old.data(), old.size(), 0), 4096);
        (void)kill_after(argv, std::chrono::duration<double>(whole * 1.1 * (i + 1) / kills));
        count("kills", 1);
        std::string block(4096, '\0');
        (void)run({{"blockdev", "--flushbufs", loop.name()}});
        PatchedImage(target_).read(0, block.data(), block.size());
        // The old block is on the card as long as nothing else was written.
        const bool untouched = block == old && slurp(target_).substr(4096) == rest;
        EXPECT_TRUE(untouched || block == std::string(4096, '\0') || has_image(target_)) << i;
        rest = slurp(target_).substr(4096);
    }
}

TEST_F(Program, RefusesALoopDeviceThatIsInUseOrWasChangedForAnother) {
    make_disk(target_, 64 * mib);
    make_disk(scratch_ / "other", 64 * mib, 'x');
    Loop loop(target_);
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    const DeviceFacts chosen = read_device(device_number(loop.name()).value());
    {
        const Descriptor holder(open(loop.name().c_str(), O_RDWR | O_EXCL | O_CLOEXEC));
        EXPECT_THROW((void)open_card(chosen, 0, false), Error);
    }
    EXPECT_NO_THROW((void)open_card(chosen, 0, false));
    EXPECT_THROW((void)open_card(chosen, 65 * mib, false), Error);
    loop.change(scratch_ / "other");
    try {
        (void)open_card(chosen, 0, false);
        ADD_FAILURE() << "another card was taken";
    } catch (const Error& error) {
        EXPECT_NE(std::string(error.what()).find("another card is in the reader"), std::string::npos) << error.what();
    }
    count("swaps_refused", 1);
    EXPECT_TRUE(slurp(scratch_ / "other") == std::string(64 * mib, 'x'));
}

TEST_F(Program, RefusesALoopDeviceThatShowsWhatIsRead) {
    const fs::path packed = scratch_.write("small.img.xz", run_checked({{"xz", "-1", "-c", image_.string()}}));
    fs::resize_file(packed, (fs::file_size(packed) + 511) / 512 * 512);
    fs::create_hard_link(image_, scratch_ / "link.img");
    fs::create_symlink(image_, scratch_ / "symlink.img");
    for (const fs::path& shown : {image_, scratch_ / "link.img", packed}) {
        const Loop loop(shown);
        if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
        const std::string before = slurp(shown);
        const std::vector<fs::path> read =
            shown == packed ? std::vector{packed} : std::vector{image_, scratch_ / "symlink.img"};
        for (const fs::path& image : read) {
            const Result result =
                run({{MAKINA_IMAGE, "flash", image.string(), loop.name(), "--yes-device", loop.name()}});
            EXPECT_EQ(result.status, 2) << shown;
            EXPECT_EQ(result.errors.rfind(loop.name() + " is the image itself (", 0), 0U) << result.errors;
            EXPECT_TRUE(slurp(shown) == before) << shown;
        }
        const DeviceFacts chosen = read_device(device_number(loop.name()).value());
        EXPECT_THROW((void)open_card(chosen, 0, false, {image_, packed}), Error);
    }
    const std::string before = slurp(image_);
    const fs::path map = scratch_.write("small.img.bmap", "<bmap/>");
    for (const fs::path& file : {scratch_ / "link.img", map}) {
        const Result result = run({command(file.string())});
        EXPECT_EQ(result.status, 2) << file;
        EXPECT_EQ(result.errors.rfind(file.string() + " is the image itself (", 0), 0U) << result.errors;
    }
    EXPECT_TRUE(slurp(image_) == before);
    EXPECT_EQ(slurp(map), "<bmap/>");
    EXPECT_EQ(run({command((scratch_ / "symlink.img").string())}).status, 2);
}

TEST_F(Program, RefusesTheBaseOfANodesBlocks) {
    const std::string id(64, 'b');
    const fs::path base = scratch_.write("cache/bases/" + id + "/disk.img", slurp(image_));
    PatchedImage node(base);
    node.write(2 * mib, "node", 4);
    const fs::path blocks = scratch_.write("node.blocks", encode(pack_blocks(node, id)));
    const auto flashed = [&](const fs::path& target) {
        return run({{MAKINA_IMAGE, "flash", blocks.string(), target.string(), "--yes-device", target.string(),
                     "--cache", (scratch_ / "cache").string()}});
    };
    for (const fs::path& target : {base, blocks}) {
        const std::string before = slurp(target);
        const Result result = flashed(target);
        EXPECT_EQ(result.status, 2) << result.errors;
        EXPECT_EQ(result.errors.rfind(target.string() + " is the image itself (", 0), 0U) << result.errors;
        EXPECT_TRUE(slurp(target) == before) << target;
    }
    EXPECT_EQ(flashed(target_).status, 0);
}

TEST_F(Program, RefusesALoopDeviceOnWhoseFileSystemTheImageLies) {
    const fs::path disk = scratch_ / "disk";
    std::ofstream(disk).close();
    fs::resize_file(disk, 256 * mib);
    run_checked({{"mke2fs", "-q", "-F", "-t", "ext4", disk.string()}});
    const Loop loop(disk);
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    const fs::path folder = scratch_ / "folder";
    fs::create_directory(folder);
    if (run({{"mount", loop.name(), folder.string()}}).status != 0) GTEST_SKIP() << "nothing can be mounted here";
    fs::copy_file(image_, folder / "small.img");
    const Loop again(disk);
    for (const std::string& name : {loop.name(), again.name()}) {
        const Result result =
            run({{MAKINA_IMAGE, "flash", (folder / "small.img").string(), name, "--yes-device", name}});
        EXPECT_EQ(result.status, 2);
        EXPECT_NE(result.errors.find(name + " is in use: "), std::string::npos) << result.errors;
    }
    EXPECT_TRUE(slurp(folder / "small.img") == slurp(image_));
    run_checked({{"umount", folder.string()}});
}

TEST_F(Program, RefusesALoopDeviceOverAnythingButAFileOfItsOwn) {
    make_disk(target_, 64 * mib);
    const Loop loop(target_);
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    const auto refused = [&](const std::string& name, const std::string& words) {
        const Result result = run({command(name)});
        EXPECT_EQ(result.status, 2) << words;
        EXPECT_EQ(result.errors.rfind(words, 0), 0U) << result.errors;
        EXPECT_TRUE(slurp(target_) == std::string(64 * mib, 'o'));
    };
    {
        const Loop over_device(loop.name());
        refused(over_device.name(), over_device.name() + " shows " + loop.name() + ", which is no plain file");
        // The kernel does not say by which name it was opened.
        const fs::path node = scratch_ / "node";
        ASSERT_EQ(
            mknod(node.c_str(), S_IFBLK | 0600, makedev(7, static_cast<unsigned>(std::stoul(loop.name().substr(9))))),
            0);
        const Loop by_node(node);
        refused(by_node.name(), by_node.name() + " shows " + node.string() + ", which is no plain file");
        refused(loop.name(), loop.name() + " is in use: ");
    }
    fs::create_hard_link(target_, scratch_ / "link");
    const Loop twin(scratch_ / "link");
    refused(loop.name(), loop.name() + " is in use: " + target_.string() + " is shown by " + twin.name());
    refused(twin.name(), twin.name() + " is in use: " + (scratch_ / "link").string() + " is shown by " + loop.name());
    const Result as_file = run({command(target_.string())});
    EXPECT_EQ(as_file.status, 1);
    EXPECT_EQ(as_file.errors.rfind("makina-image: " + target_.string() + " is shown by /dev/loop", 0), 0U)
        << as_file.errors;
    EXPECT_TRUE(slurp(target_) == std::string(64 * mib, 'o'));
}

/// A card's node belongs to the group "disk", which may write it and nothing more.
TEST_F(Program, WritesADeviceForAMemberOfItsGroup) {
    make_disk(target_, 64 * mib);
    const Loop loop(target_);
    if (loop.name().empty()) GTEST_SKIP() << "losetup takes root and a kernel with loop devices";
    const fs::path device = loop.name();
    constexpr gid_t disk = 6;
    ASSERT_EQ(chown(device.c_str(), 1, disk), 0);
    ASSERT_EQ(chmod(device.c_str(), 0660), 0);
    std::vector<std::string> argv = command(loop.name());
    const auto as_member = [&](const std::string& groups) {
        std::vector<std::string> all = {"setpriv", "--bounding-set", "-all", "--inh-caps", "-all"};
        all.push_back(groups.empty() ? "--clear-groups" : "--groups=" + groups);
        all.insert(all.end(), argv.begin(), argv.end());
        return run({all});
    };
    const Result stranger = as_member("");
    EXPECT_EQ(stranger.status, 1);
    EXPECT_NE(stranger.errors.find("or join the group that may (disk)"), std::string::npos) << stranger.errors;
    EXPECT_TRUE(slurp(target_) == std::string(64 * mib, 'o'));
    const Result member = as_member(std::to_string(disk));
    (void)chown(device.c_str(), 0, 0);
    (void)chmod(device.c_str(), 0600);
    ASSERT_EQ(member.status, 0) << member.errors;
    EXPECT_TRUE(has_image(target_));
}

}  // namespace
}  // namespace makina::flashing
