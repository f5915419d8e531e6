#pragma once

#include <vector>

#include "builder/card/card.hpp"
#include "builder/rehearse/rehearse.hpp"

namespace makina {

/// What a node that carries the daemon must answer: it runs and has not crashed, it knows who it is, it has come as far
/// as it can without anybody's help, its bundle is root's alone or gone, its page answers, and the root file system
/// fills its partition. None for an image of another maker.
[[nodiscard]] std::vector<Question> firstboot_questions(const Card& card);

}  // namespace makina
