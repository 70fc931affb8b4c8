// K4: kills the supervisor at each instruction of a recovery; another one takes over.
#pragma once

#include <cstdint>

#include "proof/sweep.h"

namespace ripstop::proof {

// The victim dies in the middle of its operation and is settled: alone, by a supervisor that takes over
// from one that was killed half way, before another who died too, or after him. The supervisor is killed in
// that recovery. `turn` says which of the four; kAllTurns: each of them, for each state that the victim may
// leave. `only`: the one point that is judged, or kAllPoints.
inline constexpr uint64_t kAllTurns = ~uint64_t{0};
void sweep_healers(const Scenario& scenario, uint64_t turn, uint64_t only, Figures& figures);

// K1's part of it: the supervisor is killed at each instruction of a request (Scenario::request); another
// one takes over and the request comes again.
void sweep_request(const Scenario& scenario, uint64_t only, Figures& figures);

}  // namespace ripstop::proof
