#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "builder/rehearse/rehearse.hpp"

namespace makina {

/// The name of the virtio port on which the guest answers.
constexpr const char* probe_port = "makina.rehearse";

/// `text` as one word of a shell command.
[[nodiscard]] std::string shell_word(const std::string& text);

/// A cpio archive (newc, as the kernel's initramfs is) of regular files and the folders above them.
[[nodiscard]] std::string cpio_archive(const std::vector<std::pair<std::string, std::string>>& files);

/// What is put in front of the image's initrd so that the guest asks itself the questions. Nothing of it is in the
/// image: the kernel unpacks every archive that it is given, ours adds a file to initramfs-tools' conf.d, that file
/// adds a step to the initrd's last stage, and the step writes a unit into /run, which systemd finds after the switch
/// to the real root. This needs no credential, no SMBIOS and no particular systemd.
[[nodiscard]] std::string probe_archive(const std::vector<Question>& questions);

/// The same for a guest that is asked all of them anew for each line that it gets through the port.
[[nodiscard]] std::string patient_probe_archive(const std::vector<Question>& questions);

/// One thing that the guest said.
struct ProbeWord {
    enum class Kind { initrd, root, begin, state, failed_unit, answer, end } kind = Kind::begin;
    std::string text;       ///< state, unit or an answer's output
    std::size_t index = 0;  ///< of the question answered
    int status = 0;
};

/// Reads one line of a console or of the port; nothing if it is none of the probe's.
[[nodiscard]] std::optional<ProbeWord> parse_probe_line(const std::string& line);

}  // namespace makina
