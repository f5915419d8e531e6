#include "tests/gateway/visit.hpp"

#include <fcntl.h>
#include <sched.h>

#include <cstdlib>

#include "firstboot/bundle/error.hpp"

namespace makina::border {

Visit::Visit(const lab::fs::path& network) : home_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    const Descriptor there(::open(network.c_str(), O_RDONLY | O_CLOEXEC));
    if (!home_ || !there || ::setns(there.get(), CLONE_NEWNET) != 0) throw_system("visiting " + network.string());
}

Visit::~Visit() {
    // A thread that cannot go back would do everything else in the wrong network.
    if (::setns(home_.get(), CLONE_NEWNET) != 0) std::abort();
}

}  // namespace makina::border
