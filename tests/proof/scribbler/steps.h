// How much a call does, counted: the library under test is compiled with a call at the head of each basic
// block (-fsanitize-coverage=trace-pc), and that call counts. The same work gives the same number on every
// machine, however busy it is; a loop that does not end is seen by its number, not by a clock.
#pragma once

#include <cstdint>

namespace ripstop::proof {

// Of the only thread that counts. Whoever measures sets it to 0.
extern uint64_t step_count;
// Beyond it the process ends with kHungStatus.
inline constexpr uint64_t kStepsMax = 50'000'000;
inline constexpr int kHungStatus = 99;

}  // namespace ripstop::proof
