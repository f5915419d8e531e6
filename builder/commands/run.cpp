#include "builder/commands/commands.hpp"

namespace makina {
int run_makina_image(int, char**) {
    return 0;
}
}  // namespace makina
