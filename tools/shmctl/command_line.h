// The words of the command line, understood by the table of verbs.
#pragma once

#include "ripstop/result.h"
#include "shmctl/verb.h"

namespace ripstop::shmctl {

// Shape:  no verb means `status`; --help and --version, wherever they stand, mean those verbs.
// Errors: UnknownVerb, Usage (an unknown flag, a missing or superfluous argument, a bad value), with
//         the nearest names.
Result<Command> parse_command_line(int argc, const char* const* argv);

}  // namespace ripstop::shmctl
