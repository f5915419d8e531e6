#include "builder/commands/passphrase.hpp"

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string_view>

#include "builder/commands/cluster.hpp"
#include "firstboot/bundle/handle.hpp"

namespace makina {
namespace {

constexpr std::size_t longest = 1024;
constexpr char interrupt = '\x03';

/// A terminal that shows nothing of what is typed while this lives. Control-C ends the line instead of the program,
/// which would leave the terminal as it is now.
class Unseen {
  public:
    explicit Unseen(int terminal) : terminal_(terminal) {
        if (tcgetattr(terminal_, &before_) != 0) throw Mistake("the terminal cannot be told to hide what is typed");
        termios hidden = before_;
        hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO | ISIG);
        hidden.c_cc[VEOL] = interrupt;
        if (tcsetattr(terminal_, TCSAFLUSH, &hidden) != 0) {
            throw Mistake("the terminal cannot be told to hide what is typed");
        }
    }
    Unseen(const Unseen&) = delete;
    Unseen& operator=(const Unseen&) = delete;
    ~Unseen() { (void)tcsetattr(terminal_, TCSAFLUSH, &before_); }

  private:
    int terminal_;
    termios before_{};
};

void say(int terminal, std::string_view text) {
    if (write(terminal, text.data(), text.size()) < 0) throw_system("writing to the terminal");
}

std::string read_line(int terminal, const std::string& prompt) {
    std::string line;
    {
        // Hidden before it is asked for: what is typed early is thrown away, never shown.
        const Unseen unseen(terminal);
        say(terminal, prompt);
        std::array<char, longest> buffer{};
        const ssize_t count = read(terminal, buffer.data(), buffer.size());
        if (count > 0) line.assign(buffer.data(), static_cast<std::size_t>(count));
    }
    say(terminal, "\n");
    if (line.find(interrupt) != std::string::npos) throw Mistake("interrupted");
    if (!line.empty() && line.back() == '\n') line.pop_back();
    return line;
}

}  // namespace

std::string ask_passphrase(const std::string& what, bool fresh, const std::string& option) {
    const Descriptor terminal(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (!terminal) throw Mistake("there is no terminal to ask for the passphrase of " + what + ": say " + option);
    std::string passphrase = read_line(terminal.get(), "passphrase of " + what + ": ");
    if (passphrase.empty()) throw Mistake("no passphrase was typed");
    if (fresh && read_line(terminal.get(), "the same again: ") != passphrase) {
        throw Mistake("two different passphrases were typed");
    }
    return passphrase;
}

std::string passphrase_in(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw Error(file.string() + " cannot be read");
    std::string line;
    std::getline(stream, line);
    if (line.empty() || line.size() > longest) {
        throw Mistake(file.string() + " has no passphrase of 1 to " + std::to_string(longest) +
                      " characters on its first line");
    }
    return line;
}

}  // namespace makina
