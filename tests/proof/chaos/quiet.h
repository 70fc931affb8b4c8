// What an inspector must find when nobody publishes and everybody has taken what there was.
#pragma once

#include <cstdint>
#include <string>

#include "supervisor.h"
#include "verdict.h"

namespace chaos {

// Numbers that must not grow from one quiet phase to the next.
struct Flat {
  uint64_t supervisor_bytes_first = 0;
  uint64_t supervisor_bytes_last = 0;
  uint64_t supervisor_bytes_max = 0;
  uint32_t direct_lanes_max = 0;  // Not a promise: whether hot pairs were hot.
  uint64_t deaths = 0;
  uint64_t completed_sends = 0;
};

// With the whole cast attached, or, at the end, with nobody.
void check_quiet(const Supervisor& supervisor, bool anybody, Flat& flat, Verdict& verdict);

}  // namespace chaos
