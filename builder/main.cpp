#include "builder/commands/commands.hpp"

int main(int argc, char** argv) {
    return makina::run_makina_image(argc, argv);
}
