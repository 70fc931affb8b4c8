// Everybody who reads a node segment that others write: the supervisor in all it does, shmctl, and the agents'
// side of the library. Each call is counted by steps (steps.h).
#pragma once

#include <array>
#include <cstdint>

#include "scribbler/ground.h"

namespace ripstop::proof {

enum class Call : uint8_t {
  Look,         // shmctl: nodes, agents' lanes, rings, letters, chunks.
  Sleepers,     // The supervisor's tick.
  Overdue,      // Its hard lease.
  TakeOver,     // Of a supervisor that was killed: registry and letters from what memory says.
  SettleDeath,  // An agent's death: all of recovery.
  Detach,
  Attach,       // A successor attaches and subscribes: what waits is handed over.
  Unsubscribe,
  Letters,      // Expire, replay, drop.
  Take,         // A receiver's: take, read, release.
  Send,         // A publisher's.
  Channel,      // Both ends.
  Count
};
inline constexpr std::size_t kCallCount = static_cast<std::size_t>(Call::Count);
const char* name_of(Call call);
// The supervisor's and shmctl's: what others' memory must not delay.
bool is_privileged(Call call);

struct CallFigures {
  uint64_t steps_max = 0;
  uint64_t worst = 0;  // The corruption with which.
  uint64_t ns = 0;     // That call's time, the shortest of several runs.
};
using Calls = std::array<CallFigures, kCallCount>;

// What the receivers said, over all corruptions.
struct Outcomes {
  uint64_t taken = 0;
  uint64_t corrupt = 0;  // TakeOutcome::Corrupt, and segments that were.
  uint64_t named = 0;    // Of those, with an offender.
};

// Runs all of them on the memory as it is, in an order that depends on `index`.
void run_readers(Ground& ground, uint64_t index, Calls& calls, Outcomes& outcomes);

}  // namespace ripstop::proof
