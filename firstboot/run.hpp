#pragma once

#include "firstboot/host.hpp"

namespace makina {

/// How a run ended.
enum class Ending {
    stopped,  ///< asked to end
    joined    ///< only with `until_joined`
};

struct RunOptions {
    bool until_joined = false;  ///< return when joined or refused, instead of staying to tell the status
    unsigned most_rounds = 0;   ///< for tests and rescue: give up waiting after so many rounds; 0: never
};

/// The node's whole first boot: pick up a delivered bundle, verify, then each stage of the role: asked, done, asked
/// again, for as long as it takes (2 s doubling to 60 s at the same stage). May be cut off anywhere and run again.
/// An Untrusted is shown and said, and what is not trusted is never tried again: the run goes on when another bundle is
/// handed over. If it ends before that, or at once with `until_joined`, the Untrusted passes through.
[[nodiscard]] Ending run(Host& host, const RunOptions& options);

/// Forgets what this daemon has noted about the node, so that the next run asks everything again; keeps keys, data, the
/// highest epoch, and, once the bundle is gone, the done-mark, which alone says who the node is.
/// Throws Error if the node is part of a cluster (a member's data or a kubelet's identity is there): then nothing is
/// changed.
void reset(Host& host);

}  // namespace makina
