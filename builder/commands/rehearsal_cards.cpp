#include "builder/commands/rehearsal_cards.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>

#include "builder/commands/terminal.hpp"
#include "firstboot/bundle/error.hpp"

namespace makina {

RehearsalCards::RehearsalCards(const Profile& profile, BuildOptions options, std::filesystem::path images,
                               Reporter& reporter)
    : images_(std::move(images)), profile_(profile), options_(std::move(options)), reporter_(reporter) {
    options_.no_checksum = true;
    if (!images_.empty() || !options_.keyring.folder.empty()) return;
    own_keys_ = true;
    options_.keyring.folder = folder() / "keys";
    Keys::create(options_.keyring.folder, profile_.name, "", seconds_now());
}

RehearsalCards::~RehearsalCards() {
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::filesystem::path RehearsalCards::folder() {
    if (folder_.empty()) {
        std::string name = (std::filesystem::temp_directory_path() / "makina-rehearse-XXXXXX").string();
        if (mkdtemp(name.data()) == nullptr) throw_system("making a folder in " + name);
        folder_ = name;
    }
    return folder_;
}

std::filesystem::path RehearsalCards::first(const Node& node) {
    if (!images_.empty()) {
        const std::filesystem::path image = images_ / (node.name + ".img");
        if (std::filesystem::exists(image)) return std::filesystem::absolute(image);
    }
    return next(node, false);
}

ImageBuilder& RehearsalCards::builder() {
    if (!builder_) builder_ = std::make_unique<ImageBuilder>(options_, profile_, reporter_);
    return *builder_;
}

std::filesystem::path RehearsalCards::next(const Node& node, bool formed) {
    if (formed && own_keys_) builder().note_formed(node.role);
    const auto started = std::chrono::steady_clock::now();
    const std::filesystem::path file = folder() / (node.name + ".img");
    during("building " + node.name, [&] {
        const auto write = builder().prepare(node, file);
        builder().settle();
        (void)write();
    });
    Descriptor image(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!image) throw_system("opening " + file.string());
    std::filesystem::remove(file);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    reporter_.step(node.name, "its card was built in " + tenths(seconds.count()) + " s");
    // By this name the programs that we start find it as well.
    const std::string path = "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(image.get());
    open_[node.name] = std::move(image);
    return path;
}

}  // namespace makina
