#include "builder/read_file.hpp"

#include <array>
#include <fstream>

#include "firstboot/bundle/error.hpp"

namespace makina {

std::string read_file(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::string content;
    std::array<char, 65536> part{};
    do {
        stream.read(part.data(), part.size());
        content.append(part.data(), static_cast<std::size_t>(stream.gcount()));
    } while (stream);
    if (!stream.is_open() || stream.bad()) throw_system("reading " + file.string());
    return content;
}

}  // namespace makina
