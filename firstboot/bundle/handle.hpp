#pragma once

#include <unistd.h>

#include <memory>
#include <utility>

namespace makina {

/// Calls the C function `Free` on a pointer; the deleter of Handle.
template <auto Free>
struct Freer {
    template <typename T>
    void operator()(T* pointer) const {
        Free(pointer);
    }
};

/// Owns a C object: `using Context = Handle<fdisk_context, fdisk_unref_context>;`
template <typename T, auto Free>
using Handle = std::unique_ptr<T, Freer<Free>>;

/// Owns a file descriptor. -1 owns nothing. The destructor closes without reporting; a writer that must know calls
/// fsync before it.
class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { reset(); }

    [[nodiscard]] int get() const { return number_; }
    explicit operator bool() const { return number_ >= 0; }
    void reset() {
        if (number_ >= 0) ::close(std::exchange(number_, -1));
    }

  private:
    int number_ = -1;
};

}  // namespace makina
