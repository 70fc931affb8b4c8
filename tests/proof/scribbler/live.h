// (b) A process that writes into a real fabric's node as fast as it can, while everybody works.
#pragma once

#include <cstdint>

namespace ripstop::proof {

struct LiveFigures {
  uint64_t writes = 0;   // Words that were scribbled.
  uint64_t wrong = 0;    // Crashes.
  uint64_t blocked = 0;  // What did not end, or not answer.
};

// On the node that is scribbled on: publishers and receivers, and agents that are killed; on the other one two
// bystanders. Beside them shmctl and questions to the supervisor. For `seconds`.
LiveFigures run_live(uint32_t seconds, uint64_t seed);

}  // namespace ripstop::proof
