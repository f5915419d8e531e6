#include "builder/read_file.hpp"

#include <fstream>
#include <iterator>

#include "firstboot/bundle/error.hpp"

namespace makina {

std::string read_file(const std::filesystem::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::string content{std::istreambuf_iterator<char>(stream), {}};
    if (!stream.is_open() || stream.bad()) throw_system("reading " + file.string());
    return content;
}

}  // namespace makina
