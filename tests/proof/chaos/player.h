// One process of the soak: publishes, receives, and writes down both.
#pragma once

#include <cstdint>

#include "ledger.h"

namespace chaos {

enum Exit : int { kLeft = 0, kFailed = 2, kAskedTooLong = 3 };

// Runs until the phase is End or it is asked to leave. kFailed: the page's words say why;
// kAskedTooLong: a control call ran into its timeout, and what it made may be there (lib/README.md).
int play(Ledger& ledger, uint32_t player, uint32_t incarnation, uint64_t seed);

}  // namespace chaos
