// Kills an operation at each of its instructions and asks the oracle each time (judge.h).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "proof/judge.h"

namespace ripstop::proof {

enum class Suite : uint8_t {
  K1,  // The victim is stopped at an instruction and recovery runs on a copy of the memory.
  K2,  // The victim is killed there, and the memory must equal the copy.
};

// Counts of one sweep, or of all. In memory that a child shares with its parent.
struct Figures {
  bool complete = false;
  uint64_t point_count = 0;
  uint64_t library_point_count = 0;  // Those in this program's code; the others are in libc.
  uint64_t state_count = 0;          // Distinct states of the memory among them.
  uint64_t kill_count = 0;           // Real ones.
  uint64_t trial_count = 0;          // Stops, or deaths of a healer, that somebody judged.
  std::array<uint64_t, kFaultCount> faults{};
  char first_words[400] = {};
};

// Where a suite tries points by number: no one of them, all.
inline constexpr uint64_t kAllPoints = ~uint64_t{0};

// Which of this program's code bytes were the first of an instruction that the victim was stopped at.
struct Visited {
  uint64_t byte_count = 0;
  uint8_t* bytes = nullptr;
};

// Every `stride`th point is killed in K2, and each at which the memory changed.
void sweep(Suite suite, const Scenario& scenario, uint64_t stride, Figures& figures, Visited& visited);

}  // namespace ripstop::proof
