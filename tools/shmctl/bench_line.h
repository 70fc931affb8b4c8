// The floor of every round trip: one cache line that two processes hand to and fro, with nothing around it.
#pragma once

#include <cstdint>
#include <optional>

#include "ripstop/result.h"

namespace ripstop::shmctl {

// The median of half a round trip, both sides spinning; nothing when the two processes hardly ever had a core at
// the same time, within a second.
// Units:  nanoseconds.
// Errors: System.
Result<std::optional<uint64_t>> measure_line_ns();

}  // namespace ripstop::shmctl
