#include "builder/commands/stand_in.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>

#include "builder/commands/keyring.hpp"
#include "builder/pki/tls_answer.hpp"

namespace makina {

void add_stand_in(CLI::App& app) {
    // A command without a group is not listed.
    CLI::App* const command =
        app.add_subcommand("stand-in", "answer one HTTPS request on standard input, as a healthy API server does");
    command->group("");
    command->callback([] { answer_over_tls(STDIN_FILENO, "ok", seconds_now()); });
}

}  // namespace makina
