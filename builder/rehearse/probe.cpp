#include "builder/rehearse/probe.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <set>
#include <sstream>

namespace makina {
namespace {

constexpr std::string_view mark = "makina-rehearse: ";

/// Sourced by initramfs-tools' init before anything is mounted. ORDER is the list of steps of the initrd's last stage,
/// itself shell text; it is in memory, and the archive that held it is unpacked by now.
constexpr const char* in_initrd = R"(echo 'makina-rehearse: initrd'
mkdir -p /scripts/init-bottom
echo '. /makina-rehearse/step' >>/scripts/init-bottom/ORDER
)";

/// The initrd's /run becomes the system's. Only mkdir and cat are used: an initrd without busybox has little more.
constexpr const char* step = R"(mkdir -p /run/makina-rehearse /run/systemd/system/multi-user.target.d
cat /makina-rehearse/probe >/run/makina-rehearse/probe
cat /makina-rehearse/unit >/run/systemd/system/makina-rehearse.service
cat /makina-rehearse/wants >/run/systemd/system/multi-user.target.d/makina-rehearse.conf
echo 'makina-rehearse: root'
)";

// Type=simple: the unit is up as soon as the script runs, so waiting for a settled system does not wait for itself.
constexpr const char* unit = R"([Unit]
Description=Questions of a rehearsal
DefaultDependencies=no
After=multi-user.target
[Service]
Type=simple
ExecStart=/bin/sh /run/makina-rehearse/probe
StandardOutput=null
)";

constexpr const char* wants = "[Unit]\nWants=makina-rehearse.service\n";

/// /run is mounted noexec, so the script is read by sh; each question has a shell of its own.
constexpr const char* script_head = R"sh(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C
modprobe -q virtio_console
udevadm settle -t 30
port=/dev/virtio-ports/makina.rehearse
[ -e $port ] || port=/dev/console
exec 3<>$port
say() { echo "makina-rehearse: $*" >&3; }
ask() {
    text=$(timeout 60 sh -c "$2" </dev/null 2>&1)
    say "answer $1 $? $(printf %s "$text" | head -c 65536 | base64 -w0)"
}
say begin
)sh";

constexpr const char* script_state = R"sh(say "state $(timeout 180 systemctl is-system-running --wait)"
for name in $(systemctl --failed --plain --no-legend | cut -d' ' -f1); do say "failed $name"; done
)sh";

/// Documentation/driver-api/early-userspace/buffer-format.rst in Linux: 13 fields of 8 hex digits after the magic.
void add_entry(std::string& archive, const std::string& name, std::uint32_t mode, const std::string& content,
               std::uint32_t inode) {
    const std::array<std::uint32_t, 13> fields = {inode,
                                                  mode,
                                                  0,
                                                  0,
                                                  1,
                                                  0,
                                                  static_cast<std::uint32_t>(content.size()),
                                                  0,
                                                  0,
                                                  0,
                                                  0,
                                                  static_cast<std::uint32_t>(name.size() + 1),
                                                  0};
    const auto pad = [&] { archive.resize((archive.size() + 3) / 4 * 4, '\0'); };
    archive += "070701";
    for (const std::uint32_t field : fields) {
        std::array<char, 9> digits{};
        archive.append(digits.data(),
                       static_cast<std::size_t>(std::snprintf(digits.data(), digits.size(), "%08x", field)));
    }
    archive += name;
    archive += '\0';
    pad();
    archive += content;
    pad();
}

std::string asking(const std::vector<Question>& questions) {
    std::string script;
    for (std::size_t i = 0; i < questions.size(); ++i) {
        script += "ask " + std::to_string(i) + ' ' + shell_word(questions[i].command) + '\n';
    }
    return script + "say end\n";
}

std::string decode_base64(std::string_view text) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string bytes;
    std::uint32_t bits = 0;
    int count = 0;
    for (const char letter : text) {
        const auto value = alphabet.find(letter);
        if (value == std::string_view::npos) break;
        bits = bits << 6 | static_cast<std::uint32_t>(value);
        count += 6;
        if (count >= 8) bytes += static_cast<char>(bits >> (count -= 8) & 0xff);
    }
    return bytes;
}

std::string archive_with(const std::string& script) {
    return cpio_archive({{"conf/conf.d/makina-rehearse", in_initrd},
                         {"makina-rehearse/step", step},
                         {"makina-rehearse/unit", unit},
                         {"makina-rehearse/wants", wants},
                         {"makina-rehearse/probe", script}});
}

}  // namespace

std::string shell_word(const std::string& text) {
    std::string word = "'";
    for (const char letter : text) word += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
    return word + "'";
}

std::string cpio_archive(const std::vector<std::pair<std::string, std::string>>& files) {
    std::string archive;
    std::set<std::string> folders;
    std::uint32_t inode = 0;
    for (const auto& [name, content] : files) {
        for (auto slash = name.find('/'); slash != std::string::npos; slash = name.find('/', slash + 1)) {
            const std::string folder = name.substr(0, slash);
            if (folders.insert(folder).second) add_entry(archive, folder, 0040755, {}, ++inode);
        }
        add_entry(archive, name, 0100644, content, ++inode);
    }
    add_entry(archive, "TRAILER!!!", 0, {}, 0);
    return archive;
}

std::string probe_archive(const std::vector<Question>& questions) {
    return archive_with(std::string(script_head) + script_state + asking(questions));
}

std::string patient_probe_archive(const std::vector<Question>& questions) {
    return archive_with(std::string(script_head) + "while read -r line <&3; do\n" + asking(questions) + "done\n");
}

std::optional<ProbeWord> parse_probe_line(const std::string& line) {
    const auto begin = line.find(mark);
    if (begin == std::string::npos) return std::nullopt;
    using Kind = ProbeWord::Kind;
    std::istringstream words(line.substr(begin + mark.size()));
    std::string word;
    words >> word;
    if (word == "initrd") return ProbeWord{Kind::initrd, {}, 0, 0};
    if (word == "root") return ProbeWord{Kind::root, {}, 0, 0};
    if (word == "begin") return ProbeWord{Kind::begin, {}, 0, 0};
    if (word == "end") return ProbeWord{Kind::end, {}, 0, 0};
    ProbeWord said;
    if (word == "state" || word == "failed") {
        said.kind = word == "state" ? Kind::state : Kind::failed_unit;
        return words >> said.text ? std::optional(said) : std::nullopt;
    }
    if (word != "answer" || !(words >> said.index >> said.status)) return std::nullopt;
    said.kind = Kind::answer;
    if (words >> word) said.text = decode_base64(word);
    return said;
}

}  // namespace makina
