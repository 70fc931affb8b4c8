// (a) A valid node segment, corrupted in one of a million ways; then everybody reads it.
#pragma once

#include <cstdint>

namespace ripstop::proof {

struct SweepFigures {
  uint64_t points = 0;
  uint64_t wrong = 0;    // Crashes, and what a sanitizer found.
  uint64_t blocked = 0;  // Calls that did not end within kStepsMax, and privileged ones beyond their bound.
};

// Every `step`-th of the corruptions [0, count), in as many processes as there are processors. A finding is
// printed as a FAULT line with the number that plays it again.
SweepFigures sweep(uint64_t count, uint64_t step);
// That one corruption, here, with its output.
SweepFigures play(uint64_t number);

}  // namespace ripstop::proof
