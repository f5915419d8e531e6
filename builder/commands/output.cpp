#include "builder/commands/output.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>

#include "firstboot/bundle/error.hpp"

namespace makina {
namespace {

bool has_reader() {
    pollfd output{STDOUT_FILENO, POLLOUT, 0};
    return poll(&output, 1, 0) < 0 || (output.revents & POLLERR) == 0;
}

}  // namespace

Output::Output() : behind_(std::cout.rdbuf(this)) {}

Output::~Output() {
    std::cout.rdbuf(behind_);
}

void Output::require_written() {
    if (std::cout.flush() || !has_reader()) return;
    throw Error("writing to standard output: " +
                (number_ == 0 ? "not everything could be written" : system_message(number_)));
}

int Output::overflow(int letter) {
    if (traits_type::eq_int_type(letter, traits_type::eof())) return traits_type::not_eof(letter);
    const int result = behind_->sputc(traits_type::to_char_type(letter));
    if (traits_type::eq_int_type(result, traits_type::eof())) note_failure();
    return result;
}

std::streamsize Output::xsputn(const char* text, std::streamsize size) {
    const std::streamsize count = behind_->sputn(text, size);
    if (count != size) note_failure();
    return count;
}

int Output::sync() {
    const int result = behind_->pubsync();
    if (result != 0) note_failure();
    return result;
}

void Output::note_failure() {
    if (number_ == 0) number_ = errno;
}

}  // namespace makina
