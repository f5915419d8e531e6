#include "firstboot/machine/people.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

namespace makina {
namespace {

/// Milliseconds on and off.
struct Pattern {
    unsigned on, off;
};

Pattern pattern_of(Light light) {
    switch (light) {
        case Light::working:
            return {100, 100};
        case Light::waiting:
            return {500, 1500};
        case Light::refused:
            return {1500, 150};
        case Light::failed:
            return {250, 250};
        case Light::joined:
            return {50, 4950};
    }
    return {100, 100};
}

/// Files of sysfs are written as they are. Whether it worked does not matter.
void put(int folder, const char* name, const std::string& value) {
    const Descriptor file(openat(folder, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
    if (file) (void)!write(file.get(), value.data(), value.size());
}

std::string printable(std::string text) {
    for (char& letter : text) {
        if (letter < ' ' || letter > '~') letter = '?';
    }
    return text;
}

}  // namespace

void say_line(const std::string& line, bool console) {
    const std::string text = "makina: " + printable(line) + "\n";
    // $JOURNAL_STREAM: systemd.exec(5).
    const std::string entry = (std::getenv("JOURNAL_STREAM") == nullptr ? "" : "<4>") + text;
    (void)!write(STDERR_FILENO, entry.data(), entry.size());
    if (!console) return;
    // A serial line that nobody reads must not stop the daemon.
    const Descriptor screen(open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
    if (screen) (void)!write(screen.get(), text.data(), text.size());
}

void show_light(const Files& files, Light light) {
    const Pattern pattern = pattern_of(light);
    // "led0" is the name that older kernels of Raspberry Pi OS have for it.
    for (const char* const name : {"ACT", "led0"}) {
        const Descriptor folder = files.folder(std::string("/sys/class/leds/") + name);
        if (!folder) continue;
        put(folder.get(), "trigger", "timer");
        put(folder.get(), "delay_on", std::to_string(pattern.on));
        put(folder.get(), "delay_off", std::to_string(pattern.off));
        return;
    }
}

}  // namespace makina
