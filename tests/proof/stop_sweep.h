// K3: stops an operation at each of its instructions, lets the others go on, and then kills it, resumes it,
// or resumes it late (stop_court.h).
#pragma once

#include <cstdint>

#include "proof/sweep.h"

namespace ripstop::proof {

// `stride`: every so many touches of the fabric's memory are tried, and each after which it had changed; 1:
// all touches, with all fates. `only`: the one point that is tried, or kAllPoints.
void sweep_stops(const Scenario& scenario, uint64_t stride, uint64_t only, Figures& figures);

}  // namespace ripstop::proof
