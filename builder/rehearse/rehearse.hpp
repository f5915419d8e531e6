#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace makina {

/// How far a boot is; each stage is behind the one before it.
enum class BootStage {
    files,      ///< the boot files that the board and the emulator need are in the image
    kernel,     ///< the kernel speaks
    initrd,     ///< the initrd's init runs
    root,       ///< the root file system is mounted and systemd runs from it
    multi_user  ///< multi-user.target is reached
};
[[nodiscard]] std::string to_string(BootStage stage);

/// Something asked inside the guest once it is up: a shell command that succeeds if all is well and prints why not.
struct Question {
    std::string name;
    std::string command;
};

struct Reply {
    Question question;
    int status = -1;     ///< exit code; 124 after a minute; -1 if the guest never answered
    std::string output;  ///< both streams
};

struct StageTime {
    BootStage stage = BootStage::files;
    double seconds = 0;  ///< since the emulator was started, by the request's clock
};

/// What became of a rehearsal.
struct Verdict {
    std::string node, role;          ///< from the manifest, else the host name and empty
    std::vector<StageTime> reached;  ///< in order
    double seconds = 0;              ///< the whole rehearsal
    std::string state;               ///< systemd's word: "running", "degraded"
    std::vector<std::string> failed_units;
    std::vector<Reply> answers;
    std::string stopped;      ///< why it ended early, empty if it came to its end
    std::string last_output;  ///< the console's last lines if it ended early
    /// Everything was reached and answered, and every answer was good.
    [[nodiscard]] bool passed() const;
};

struct RehearseRequest {
    std::filesystem::path image;
    /// The disk of the machine, if it is another than the image: a card that the image was written to and that a node
    /// has used since. What it boots with and what is asked is still the image's.
    std::filesystem::path card = {};
    std::uint64_t card_size = 0;           ///< bytes of the machine's disk; 0: as many as the file has
    std::filesystem::path write_log = {};  ///< as Machine::write_log: then the disk is written
    std::vector<Question> questions = {};  ///< besides the built-in ones
    double timeout = 900;                  ///< seconds for the whole boot
    unsigned memory_mib = 2048;
    /// Images of USB sticks that are plugged in; they are written.
    std::vector<std::filesystem::path> sticks = {};
    std::function<double()> clock;                                               ///< seconds, from any start
    std::function<void(std::string_view)> on_console = [](std::string_view) {};  ///< the serial console, as it comes
    std::function<void(const std::string&, double)> on_progress = [](const std::string&, double) {};
    ///< about once a second: how far the boot is, in words, and the seconds since the start
};

/// Boots an image in QEMU with the image's own kernel, initrd and kernel arguments, on a copy-on-write disk: the image
/// is never written, unless a log of writes is wanted. Needs no root and no network; the guest's cards lead nowhere.
/// What the guest does wrong is in the verdict; an Error is thrown for what cannot be rehearsed at all: no image,
/// another architecture, no QEMU.
[[nodiscard]] Verdict rehearse(const RehearseRequest& request);

}  // namespace makina
