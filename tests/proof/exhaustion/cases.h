// P1's cases: what the fabric has of its own, and what it has from the machine.
#pragma once

#include <vector>

#include "proof/live/suite.h"

namespace ripstop::exhaustion {

std::vector<live::Case> fabric_cases();
std::vector<live::Case> machine_cases();

}  // namespace ripstop::exhaustion
