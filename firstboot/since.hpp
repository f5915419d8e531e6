#pragma once

#include <cstdint>
#include <optional>

namespace makina {

/// How long something has been so, in seconds of a clock that never jumps.
class Since {
  public:
    std::int64_t seconds(bool is_so, std::int64_t now) {
        if (!is_so) begun_.reset();
        if (is_so && !begun_) begun_ = now;
        return begun_ ? now - *begun_ : 0;
    }

  private:
    std::optional<std::int64_t> begun_;
};

}  // namespace makina
