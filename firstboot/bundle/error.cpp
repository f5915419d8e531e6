#include "firstboot/bundle/error.hpp"

#include <cctype>
#include <cerrno>
#include <system_error>

namespace makina {

std::string system_message(int number) {
    std::string text = std::generic_category().message(number);
    if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])) != 0) {
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    }
    return text;
}

void throw_system(const std::string& what) {
    throw Error(what + ": " + system_message(errno));
}

}  // namespace makina
