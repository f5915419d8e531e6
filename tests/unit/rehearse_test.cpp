#include "builder/rehearse/rehearse.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "builder/commands/rehearse.hpp"
#include "builder/process.hpp"
#include "builder/rehearse/boot_files.hpp"
#include "builder/rehearse/inquiry.hpp"
#include "builder/rehearse/overlay_disk.hpp"
#include "builder/rehearse/probe.hpp"
#include "builder/rehearse/questions.hpp"
#include "firstboot/bundle/digest.hpp"
#include "firstboot/bundle/error.hpp"
#include "tests/unit/scratch.hpp"
#include "tests/unit/small_image.hpp"

namespace makina {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

using small_image::arm64_kernel;
using small_image::mib;
using small_image::noon;
using small_image::regular;

/// A small image with everything that is looked at before a boot, and a QEMU that says what the test wants.
class RehearseTest : public testing::Test {
  protected:
    void SetUp() override { small_image::make(image, "worker-1"); }
    void TearDown() override { setenv("PATH", path_before.c_str(), 1); }

    void put_boot(const std::string& name, const std::string& content) const {
        small_image::put_boot(image, name, content);
    }
    void put_root(const std::string& path, const std::string& content, std::uint32_t mode = regular) const {
        small_image::put_root(image, path, content, mode);
    }
    void put_manifest(const std::string& role) const {
        put_root(Manifest::path, encode({"home", "worker-1", role, "b", noon, {}}));
    }
    [[nodiscard]] std::vector<std::string> question_names() const {
        std::vector<std::string> names;
        for (const Question& question : questions_for(Card(image))) names.push_back(question.name);
        return names;
    }
    [[nodiscard]] std::string command_of(const std::string& name) const {
        for (const Question& question : questions_for(Card(image))) {
            if (question.name == name) return question.command;
        }
        return "not asked";
    }
    /// Puts a program in front of the real QEMU: standard output is the console, standard error the port.
    void fake_qemu(const std::string& script) const {
        const auto program = scratch.write("bin/qemu-system-aarch64", "#!/bin/sh\n" + script);
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
        setenv("PATH", (program.parent_path().string() + ":" + path_before).c_str(), 1);
    }
    [[nodiscard]] RehearseRequest request() {
        RehearseRequest asked;
        asked.image = image;
        asked.clock = [this] { return now += 0.5; };
        return asked;
    }
    [[nodiscard]] std::string refusal() const {
        try {
            (void)read_boot_files(Card(image));
        } catch (const Error& error) {
            return error.what();
        }
        return "accepted";
    }

    Scratch scratch;
    std::filesystem::path image = scratch / "worker-1.img";
    std::string path_before = std::getenv("PATH");
    double now = 0;
};

TEST_F(RehearseTest, ReadsTheBootFilesThatConfigTxtNames) {
    const BootFiles files = read_boot_files(Card(image));
    EXPECT_EQ(files.kernel_path, "/boot/firmware/vmlinuz-6");
    EXPECT_EQ(files.kernel, arm64_kernel());
    EXPECT_EQ(files.initrd_path, "/boot/firmware/initrd.img-6");
    EXPECT_EQ(files.initrd, "the initrd");
    EXPECT_EQ(files.arguments, "console=tty0 root=PARTUUID=1234abcd-02 rw quiet");
}

TEST_F(RehearseTest, TakesTheNewestKernelOfAnImageWithoutAConfigTxt) {
    Fat(image, mib).remove("config.txt");
    put_root("/boot/vmlinuz-6.9.1", arm64_kernel());
    put_root("/boot/vmlinuz-6.12.1", arm64_kernel());
    put_root("/boot/initrd.img-6.12.1", "i");
    const BootFiles files = read_boot_files(Card(image));
    EXPECT_EQ(files.kernel_path, "/boot/vmlinuz-6.12.1");
    EXPECT_EQ(files.initrd, "i");
    EXPECT_EQ(files.arguments, " root=PARTUUID=1234abcd-02 rw net.ifnames=0");
}

TEST_F(RehearseTest, NamesTheBootFileThatIsMissing) {
    Fat fat(image, mib);
    fat.remove("fixup4.dat");
    EXPECT_EQ(refusal(), "/boot/firmware/fixup4.dat is missing: a Raspberry Pi would not boot");
    fat.remove("start4.elf");
    EXPECT_EQ(refusal(), "/boot/firmware/start4.elf is missing: a Raspberry Pi would not boot");
    put_boot("start4.elf", "");
    put_boot("fixup4.dat", "");
    put_boot("cmdline.txt", "one\ntwo\n");
    EXPECT_EQ(refusal(), "/boot/firmware/cmdline.txt: more than one line, a Raspberry Pi reads only the first");
    fat.remove("initrd.img-6");
    EXPECT_EQ(refusal(), "/boot/firmware/initrd.img-6 is missing: the image cannot boot");
    fat.remove("vmlinuz-6");
    EXPECT_EQ(refusal(), "/boot/firmware/vmlinuz-6 is missing: the image cannot boot");
    fat.remove("config.txt");
    EXPECT_EQ(refusal(), "neither /boot/firmware/config.txt nor a kernel in /boot: the image cannot boot");
}

TEST_F(RehearseTest, RefusesAKernelForAnotherArchitecture) {
    std::string kernel(4096, '\0');
    put_boot("vmlinuz-6", kernel.replace(0x202, 4, "HdrS"));
    try {
        (void)rehearse(request());
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(),
                  image.string() + ": /boot/firmware/vmlinuz-6 is for x86: only arm64 images can be rehearsed yet");
    }
}

TEST(BootConfig, FollowsSectionsPrefixAndAutomaticInitramfs) {
    const BootConfig ubuntu = parse_boot_config(
        "[pi5]\nkernel=other\n[all]\nkernel=vmlinuz # a comment\ncmdline=line.txt\nos_prefix=current/\n"
        "initramfs initrd.img,more followkernel\n");
    EXPECT_EQ(ubuntu.kernel, "vmlinuz");
    EXPECT_EQ(ubuntu.cmdline, "line.txt");
    EXPECT_EQ(ubuntu.prefix, "current/");
    EXPECT_EQ(ubuntu.initramfs, "initrd.img");
    const BootConfig rpios = parse_boot_config("auto_initramfs=1\r\n");
    EXPECT_EQ(rpios.kernel, "kernel8.img");
    EXPECT_EQ(rpios.initramfs, "initramfs8");
    EXPECT_EQ(parse_boot_config("").initramfs, "");
}

TEST(BootArguments, FitTheEmulatorAndKeepTheRoot) {
    const PartitionTable table{0x1234abcd, {}};
    EXPECT_EQ(adapt_arguments("console=tty0 quiet root=/dev/mmcblk0p2 rw panic=0", table),
              "console=tty0 root=PARTUUID=1234abcd-02 rw console=ttyAMA0 panic=1 systemd.show_status=1");
    EXPECT_EQ(adapt_arguments("root=LABEL=x", table), "root=LABEL=x console=ttyAMA0 panic=1 systemd.show_status=1");
}

TEST(Cpio, IsAnArchiveThatCpioReads) {
    if (!have_program("cpio")) GTEST_SKIP() << "cpio is not installed";
    const Result list =
        run({{"cpio", "-t", "--quiet"}, {}, {}, cpio_archive({{"a/b/c", "x"}, {"a/d", std::string(5, 'y')}})});
    EXPECT_EQ(list.status, 0) << list.errors;
    EXPECT_EQ(list.output, "a\na/b\na/b/c\na/d\n");
}

TEST(Cpio, HasTheKernelsHeaderAndEveryPartAlignedToFourBytes) {
    const std::string archive = cpio_archive({{"n", "abc"}});
    EXPECT_EQ(archive.substr(0, 14), "07070100000001");
    EXPECT_EQ(archive.substr(14, 8), "000081a4");  // 0100644
    EXPECT_EQ(archive.substr(54, 8), "00000003");  // size
    EXPECT_EQ(archive.substr(94, 8), "00000002");  // name and its zero
    EXPECT_EQ(archive.substr(110, 6), std::string("n\0abc\0", 6));
    EXPECT_EQ(archive.substr(116, 6), "070701");
    EXPECT_EQ(archive.size() % 4, 0U);
    EXPECT_THAT(archive, HasSubstr("TRAILER!!!"));
}

TEST(Probe, ReadsItsOwnLinesAndNoOthers) {
    EXPECT_FALSE(parse_probe_line("[  OK  ] Reached target").has_value());
    EXPECT_FALSE(parse_probe_line("makina-rehearse: answer x").has_value());
    EXPECT_FALSE(parse_probe_line("makina-rehearse: unknown").has_value());
    EXPECT_EQ(parse_probe_line("makina-rehearse: end")->kind, ProbeWord::Kind::end);
    EXPECT_EQ(parse_probe_line("junk makina-rehearse: failed a.service")->text, "a.service");
    const auto answer = parse_probe_line("makina-rehearse: answer 12 124 YWIKYw==");
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->index, 12U);
    EXPECT_EQ(answer->status, 124);
    EXPECT_EQ(answer->text, "ab\nc");
    EXPECT_EQ(parse_probe_line("makina-rehearse: answer 0 0")->text, "");
}

TEST(Probe, GivesTheShellOneWordWhateverIsInIt) {
    const std::string text = "it's $(id) \\ \"x\"\n`y`";
    EXPECT_EQ(run_checked({{"sh", "-c", "printf %s " + shell_word(text)}}), text);
}

TEST(Probe, CarriesAScriptThatAShellReads) {
    const std::string archive = probe_archive({{"one", "echo 'a'"}, {"two", "false"}});
    const auto begin = archive.find("PATH=/usr/local/sbin");
    ASSERT_NE(begin, std::string::npos);
    const std::string script = archive.substr(begin, archive.find("say end\n", begin) + 8 - begin);
    EXPECT_THAT(script, HasSubstr("ask 0 'echo '\\''a'\\'''\nask 1 'false'\n"));
    const Result checked = run({{"sh", "-n"}, {}, {}, script});
    EXPECT_EQ(checked.status, 0) << checked.errors;
}

TEST(Probe, ThatIsPatientAnswersEachTimeItIsAsked) {
    const Scratch scratch;
    const std::string archive = patient_probe_archive({{"one", "echo a"}, {"two", "false"}});
    const auto begin = archive.find("say() {");
    ASSERT_NE(begin, std::string::npos);
    std::string script = archive.substr(begin, archive.find("done\n", begin) + 5 - begin);
    // The port is a pipe in each direction here.
    script = "exec 3<&0 4>&1\n" + script;
    for (auto at = script.find(">&3"); at != std::string::npos; at = script.find(">&3")) script.replace(at, 3, ">&4");
    const auto file = scratch.write("probe", script);
    const Result said = run({{"sh", file.string()}, {}, {}, "again\nagain\n"});
    const std::string once = "makina-rehearse: answer 0 0 YQ==\nmakina-rehearse: answer 1 1 \nmakina-rehearse: end\n";
    EXPECT_EQ(said.output, "makina-rehearse: begin\n" + once + once) << said.errors;
}

TEST(Inquiry, GathersTheAnswersOfTheLastTimeOnly) {
    Inquiry inquiry({{"one", "x"}, {"two", "y"}});
    const auto guest = [&](const std::string& text) {
        ASSERT_EQ(write(inquiry.other_end(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    };
    EXPECT_TRUE(inquiry.answered()) << "nothing is asked yet";
    inquiry.ask();
    std::array<char, 16> asked{};
    EXPECT_EQ(read(inquiry.other_end(), asked.data(), asked.size()), 6);
    EXPECT_FALSE(inquiry.answered());
    guest("noise\nmakina-rehearse: answer 0 0 YQ==\nmakina-rehearse: answer 7 0 YQ==\nmakina-rehearse: ans");
    EXPECT_FALSE(inquiry.answered());
    guest("wer 1 3 Yg==\nmakina-rehearse: end\n");
    EXPECT_TRUE(inquiry.answered());
    EXPECT_EQ(inquiry.replies()[0].output, "a");
    EXPECT_EQ(inquiry.replies()[1].status, 3);
    inquiry.ask();
    EXPECT_FALSE(inquiry.answered());
    EXPECT_EQ(inquiry.replies()[0].status, -1);
}

TEST(Questions, ReadKeysAndValuesOfSysctls) {
    EXPECT_THAT(parse_sysctls("# c\n; c\n a.b = 1 2 \n-c/d=3\nnet.ipv4.conf.*.rp_filter = 1\nnonsense\n"),
                ElementsAre(std::pair("a.b", "1 2"), std::pair("c/d", "3")));
}

TEST(Questions, ReadNamesAddressesAndMacOfANetworkFile) {
    const NetworkFile file = parse_network_file(
        "[Match]\nPermanentMACAddress=02:00:00:00:00:01\n# Name=no\n[Link]\nName=eth1\n[Network]\nAddress=10.0.0.1/24\n"
        "[Address]\nAddress=10.0.0.2/24\n[Route]\nAddress=no\n");
    EXPECT_THAT(file.names, ElementsAre("eth1"));
    EXPECT_THAT(file.addresses, ElementsAre("10.0.0.1/24", "10.0.0.2/24"));
    EXPECT_EQ(file.mac, "02:00:00:00:00:01");
}

TEST_F(RehearseTest, AsksAWorkerForWhatKubeletNeeds) {
    put_manifest("worker");
    put_root("/usr/bin/containerd", "");
    EXPECT_THAT(question_names(),
                testing::IsSupersetOf({"no-swap", "no-failed-unit", "packages-complete", "memory-cgroup", "hostname",
                                       "clock", "sysctl net.ipv4.ip_forward", "module br_netfilter", "containerd",
                                       "containerd-cgroups"}));
    EXPECT_THAT(question_names(), Not(Contains("haproxy")));
    EXPECT_EQ(command_of("clock"), "date -u; [ $(date +%s) -ge 1700000000 ]");
    EXPECT_THAT(command_of("hostname"), HasSubstr("= 'worker-1' ]"));
}

TEST_F(RehearseTest, AsksForEverySettingThatTheImageMakes) {
    put_root("/etc/sysctl.d/10-a.conf", "kernel.panic = 5\n");
    put_root("/etc/sysctl.d/90-b.conf", "kernel.panic = 10\n");
    put_root("/etc/modules-load.d/a.conf", "# c\nip-vs\n");
    put_root("/etc/systemd/network/10.network", "[Match]\nName=eth0 en*\n[Network]\nAddress=192.168.3.251/24\n");
    put_root("/etc/kubernetes/makina/init.yaml", "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n");
    put_root("/etc/kubernetes/makina/other.yaml", "apiVersion: v1\n");
    put_root("/usr/bin/kubeadm", "");
    EXPECT_THAT(command_of("sysctl kernel.panic"),
                HasSubstr("<'/proc/sys/kernel/panic'); echo \"$value\"; [ \"$value\" = '10' ]"));
    EXPECT_THAT(command_of("module ip-vs"), HasSubstr("'/sys/module/ip_vs'"));
    EXPECT_THAT(command_of("address 192.168.3.251/24"), HasSubstr("dev 'eth0' | grep -qF ' 192.168.3.251/24 '"));
    EXPECT_EQ(command_of("kubeadm /etc/kubernetes/makina/init.yaml"),
              "kubeadm config validate --config '/etc/kubernetes/makina/init.yaml'");
    EXPECT_EQ(command_of("kubeadm /etc/kubernetes/makina/other.yaml"), "not asked");
}

TEST_F(RehearseTest, AsksEachServiceOfARoleAboutItsOwnFile) {
    put_manifest("gateway");
    for (const char* const file :
         {"/usr/sbin/haproxy", "/etc/haproxy/haproxy.cfg", "/usr/sbin/keepalived", "/etc/keepalived/keepalived.conf",
          "/usr/sbin/nft", "/etc/nftables.conf", "/usr/sbin/conntrackd", "/etc/conntrackd/conntrackd.conf"}) {
        put_root(file, "");
    }
    EXPECT_EQ(command_of("haproxy"), "haproxy -c -f /etc/haproxy/haproxy.cfg");
    EXPECT_EQ(command_of("keepalived"), "keepalived -t -f /etc/keepalived/keepalived.conf");
    EXPECT_EQ(command_of("nftables"), "nft -c -f /etc/nftables.conf");
    EXPECT_EQ(command_of("conntrackd"), "conntrackd -s");
    EXPECT_NE(command_of("sysctl net.ipv4.ip_forward"), "not asked");
    EXPECT_EQ(command_of("memory-cgroup"), "not asked");
}

/// What the question makes of a daemon that says this; sleeping takes no time.
class DaemonQuestionTest : public RehearseTest {
  protected:
    void SetUp() override {
        RehearseTest::SetUp();
        put_manifest("worker");
        put_root("/usr/sbin/makina-firstboot", "the daemon");
    }
    [[nodiscard]] Result asked(const std::string& question, const std::string& status) const {
        const auto programs = scratch.write("programs/makina-firstboot", "#!/bin/sh\necho '" + status + "'\n");
        (void)scratch.write("programs/sleep", "#!/bin/sh\n");
        for (const char* const name : {"makina-firstboot", "sleep"}) {
            std::filesystem::permissions(programs.parent_path() / name, std::filesystem::perms::owner_all);
        }
        const std::string path = programs.parent_path().string() + ":" + path_before;
        return run({{"sh", "-c", command_of(question)}, {{"PATH", path}}});
    }
    static std::string status(const std::string& state, const std::string& stage, bool network_done) {
        return R"({"node":"worker-1","role":"worker","state":")" + state + R"(","stage":")" + stage +
               R"(","steps":[{"name":"verify","done":true},{"name":"network","done":)" +
               (network_done ? "true" : "false") + R"(},{"name":"join","done":false}]})";
    }
};

TEST_F(DaemonQuestionTest, IsAnsweredWellByANodeThatWaitsToJoin) {
    const Result waiting = asked("firstboot-status", status("waiting", "join", true));
    EXPECT_EQ(waiting.status, 0) << waiting.output << waiting.errors;
    EXPECT_THAT(waiting.output, HasSubstr("\"role\":\"worker\""));
    const std::string all_done = R"({"node":"worker-1","role":"worker","state":"joined","stage":"","steps":[]})";
    EXPECT_EQ(asked("firstboot-status", all_done).status, 0);
}

TEST_F(DaemonQuestionTest, IsAnsweredBadlyByANodeThatIsNotAsFarOrIsAnother) {
    const Result early = asked("firstboot-status", status("waiting", "network", false));
    EXPECT_EQ(early.status, 1);
    EXPECT_THAT(early.output, HasSubstr("it is not as far as join\n"));
    const Result gap = asked("firstboot-status", status("waiting", "join", false));
    EXPECT_EQ(gap.status, 1);
    EXPECT_THAT(gap.output, HasSubstr("something before join is not done\n"));
    put_manifest("etcd");
    const Result other = asked("firstboot-status", status("waiting", "join", true));
    EXPECT_EQ(other.status, 1);
    EXPECT_THAT(other.output, HasSubstr("it is not worker-1, etcd\n"));
}

TEST_F(DaemonQuestionTest, ExpectsNoPackagesOfAnImageThatLeavesThemToTheNode) {
    put_root("/etc/makina/packages", "# what the image lacks\nkubelet=1.34.1-1.1\n");
    EXPECT_EQ(asked("firstboot-status", status("waiting", "join", true)).status, 1);
    const std::string waits =
        R"({"node":"worker-1","role":"worker","state":"waiting","stage":"packages","steps":[{"name":"time","done":true},)"
        R"({"name":"packages","done":false},{"name":"join","done":false}]})";
    EXPECT_EQ(asked("firstboot-status", waits).status, 0);
    put_root("/etc/makina/packages", "# nothing\n\n");
    EXPECT_THAT(command_of("firstboot-status"), HasSubstr("last='join'"));
}

TEST_F(DaemonQuestionTest, AreNotForAnImageWithoutADaemon) {
    EXPECT_THAT(question_names(), Contains("status-page"));
    EXPECT_THAT(question_names(), Contains("root-grown"));
    Ext4 root(image, 8 * mib, true);
    root.remove("/usr/sbin/makina-firstboot");
    root.close();
    for (const std::string& name : question_names()) EXPECT_FALSE(name.starts_with("firstboot")) << name;
}

TEST_F(RehearseTest, GivesTheGuestTheCardsThatItsNetworkFilesName) {
    EXPECT_THAT(network_cards(Card(image)), ElementsAre(""));
    put_root("/etc/systemd/network/10.link", "[Match]\nMACAddress=02:00:00:00:00:02\n[Link]\nName=eth1\n");
    put_root("/etc/systemd/network/20.network", "[Match]\nName=eth0 en* cni0\n");
    EXPECT_THAT(network_cards(Card(image)), ElementsAre("", "02:00:00:00:00:02"));
}

constexpr const char* good_boot =
    "echo '[    0.000000] Booting Linux on physical CPU 0x0'\n"
    "echo 'makina-rehearse: initrd'; echo 'makina-rehearse: root'\n"
    "sleep 0.2; { echo 'makina-rehearse: begin'; echo 'makina-rehearse: state running'; } >&2\n";

TEST_F(RehearseTest, PassesAGuestThatAnswersEverythingWell) {
    put_manifest("etcd");
    // The arguments name no file of the image's as writable, and the first answers are for the built-in questions.
    fake_qemu(std::string("case \"$*\" in *backing.read-only=on,*worker-1.img*) ;; *) exit 1;; esac\n") + good_boot +
              "i=0; while [ $i -lt 20 ]; do echo \"makina-rehearse: answer $i 0 b2sK\" >&2; i=$((i+1)); done\n"
              "echo 'makina-rehearse: end' >&2; exec sleep 100\n");
    RehearseRequest asked = request();
    asked.questions = {{"mine", "true"}};
    const std::string before = sha256(slurp(image));
    const Verdict verdict = rehearse(asked);
    EXPECT_TRUE(verdict.passed()) << to_text(verdict);
    EXPECT_EQ(verdict.node, "worker-1");
    EXPECT_EQ(verdict.role, "etcd");
    EXPECT_EQ(verdict.state, "running");
    ASSERT_EQ(verdict.reached.size(), 5U);
    EXPECT_EQ(verdict.reached.back().stage, BootStage::multi_user);
    EXPECT_EQ(verdict.answers.back().question.name, "mine");
    EXPECT_EQ(verdict.answers.back().output, "ok\n");
    EXPECT_EQ(sha256(slurp(image)), before);
    const auto json = nlohmann::json::parse(to_json(verdict));
    EXPECT_EQ(json["passed"], true);
    EXPECT_EQ(json["reached"], "multi-user");
    EXPECT_EQ(json["answers"].back()["good"], true);
}

TEST_F(RehearseTest, DoesNotPassAWrongAnswerOrAFailedUnit) {
    fake_qemu(std::string(good_boot) +
              "{ echo 'makina-rehearse: failed haproxy.service'; echo 'makina-rehearse: answer 0 1 c3dhcAo='\n"
              "echo 'makina-rehearse: end'; } >&2\nexec sleep 100\n");
    const Verdict verdict = rehearse(request());
    EXPECT_FALSE(verdict.passed());
    EXPECT_THAT(verdict.failed_units, ElementsAre("haproxy.service"));
    EXPECT_THAT(to_text(verdict), HasSubstr("failed unit: haproxy.service\nwrong: no-swap (exit code 1)\n    swap\n"));
    EXPECT_THAT(to_text(verdict), HasSubstr(" not asked\nworker-1: did not pass\n"));
}

TEST_F(RehearseTest, SaysWhereABootStoppedAndShowsTheConsole) {
    fake_qemu(
        "echo 'Booting Linux on physical CPU 0'; printf '\\033[31mKernel panic - not syncing: no root\\033[0m\\n'; "
        "exec sleep 100\n");
    const Verdict verdict = rehearse(request());
    EXPECT_EQ(verdict.reached.back().stage, BootStage::kernel);
    EXPECT_THAT(verdict.stopped, HasSubstr("the boot failed: "));
    EXPECT_THAT(to_text(verdict), HasSubstr("stopped: the boot failed: Kernel panic - not syncing: no root\n"));
    EXPECT_THAT(to_text(verdict), HasSubstr("    Booting Linux on physical CPU 0\n    Kernel panic"));
    EXPECT_FALSE(verdict.passed());
}

TEST_F(RehearseTest, GivesUpAtTheTimeAndEndsTheEmulator) {
    fake_qemu("echo 'Booting Linux on physical CPU 0'; exec sleep 100\n");
    RehearseRequest asked = request();
    asked.timeout = 2;
    EXPECT_EQ(rehearse(asked).stopped, "not done after 2 seconds: give more with --timeout");
}

TEST_F(RehearseTest, DoesNotPassAMachineThatGoesOffByItself) {
    fake_qemu(good_boot);
    const Verdict verdict = rehearse(request());
    EXPECT_EQ(verdict.stopped, "the machine went off before it had answered");
    EXPECT_FALSE(verdict.passed());
}

TEST_F(RehearseTest, RefusesACardThatIsTooSmall) {
    RehearseRequest asked = request();
    asked.card_size = 1000;
    try {
        (void)rehearse(asked);
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.what(), image.string() + " has " + std::to_string(std::filesystem::file_size(image)) +
                                    " bytes and does not fit on a card of 1000");
    }
}

TEST_F(RehearseTest, WritesTheCardIfALogIsWanted) {
    // The emulator is told of both files, and the card is as large as it was asked to be.
    const std::filesystem::path card = scratch / "card.img";
    std::filesystem::copy_file(image, card);
    fake_qemu(std::string("case \"$*\" in *blklogwrites*card.img*log.filename=*discard=off*) ;; *) exit 1;; esac\n") +
              good_boot);
    RehearseRequest asked = request();
    asked.card = card;
    asked.card_size = std::filesystem::file_size(image) + (1 << 20);
    asked.write_log = scratch / "log";
    EXPECT_EQ(rehearse(asked).reached.back().stage, BootStage::multi_user);
    EXPECT_EQ(std::filesystem::file_size(card), asked.card_size);
    EXPECT_TRUE(std::filesystem::exists(asked.write_log));
}

TEST_F(RehearseTest, PlugsSticksIn) {
    fake_qemu(std::string("case \"$*\" in *qemu-xhci*stick0,file=*a,,b.img*usb-storage,removable=on,drive=stick0*) ;; "
                          "*) exit 1;; esac\n") +
              good_boot);
    RehearseRequest asked = request();
    asked.sticks = {scratch / "a,b.img"};
    EXPECT_EQ(rehearse(asked).reached.back().stage, BootStage::multi_user);
}

TEST(OverlayDisk, SaysItsSizeAndWhichOfItsClustersAreUsed) {
    const std::string disk = overlay_disk(0x1'2345'6000);
    ASSERT_EQ(disk.size(), 4U << 16);
    EXPECT_EQ(disk.substr(0, 8), std::string("QFI\xfb\0\0\0\2", 8));
    EXPECT_EQ(disk.substr(24, 8), std::string("\0\0\0\1\x23\x45\x60\0", 8));
    EXPECT_EQ(disk.substr(36, 4), std::string("\0\0\0\x0a", 4));  // tables of 512 MiB each
    EXPECT_EQ(disk.substr(2 << 16, 10), std::string("\0\1\0\1\0\1\0\1\0\0", 10));
    EXPECT_THROW((void)overlay_disk((std::uint64_t{4} << 40) + 1), Error);
}

TEST_F(RehearseTest, TellsAMissingBootFileAsTheVerdict) {
    Fat(image, mib).remove("vmlinuz-6");
    std::ostringstream out;
    std::ostringstream progress;
    RehearseOptions options;
    options.image = image;
    options.json = true;
    EXPECT_EQ(rehearse(options, out, progress, false), 1);
    const auto json = nlohmann::json::parse(out.str());
    EXPECT_EQ(json["reached"], "");
    EXPECT_EQ(json["stopped"], "/boot/firmware/vmlinuz-6 is missing: the image cannot boot");
}

TEST_F(RehearseTest, PassesOnWhatQemuSaysWhenItDoesNotStart) {
    fake_qemu("echo 'qemu: no such machine' >&2; exit 1\n");
    EXPECT_THROW((void)rehearse(request()), Error);
    fake_qemu("echo 'qemu: odd' >&2; exit 0\n");
    try {
        (void)rehearse(request());
        FAIL() << "accepted";
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "QEMU ended: qemu: odd");
    }
}

TEST_F(RehearseTest, WritesTheConsoleToAFileAndALineForEachStage) {
    fake_qemu(std::string(good_boot) + "echo 'makina-rehearse: end' >&2; exec sleep 100\n");
    RehearseOptions options;
    options.image = image;
    options.console = scratch / "console";
    std::ostringstream out;
    std::ostringstream progress;
    EXPECT_EQ(rehearse(options, out, progress, false), 1);
    EXPECT_THAT(slurp(options.console), HasSubstr("Booting Linux on physical CPU"));
    EXPECT_THAT(progress.str(), HasSubstr(" s: multi-user\n"));
}

}  // namespace
}  // namespace makina
