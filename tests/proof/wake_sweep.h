// K5: kills and stops an operation at each instruction of its wake path, while those whom it has to wake
// are asleep in the kernel, in processes of their own.
#pragma once

#include <cstdint>

#include "proof/sweep.h"
#include "proof/wake_scenarios.h"

namespace ripstop::proof {

// Every instruction from the first on that leaves somebody with news, and before that wherever the memory
// has changed. `only`: the one point that is tried, or kAllPoints.
void sweep_wakes(const WakeScenario& scenario, uint64_t only, Figures& figures);

}  // namespace ripstop::proof
