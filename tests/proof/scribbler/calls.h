// (c) Hostile sequences of calls on the control socket: wrong order, wrong numbers, half messages, floods,
// descriptors with all of it.
#pragma once

#include <cstdint>

namespace ripstop::proof {

struct CallsFigures {
  uint64_t sequences = 0;
  uint64_t wrong = 0;
};

// `count` sequences, each by a generator whose seed is its number from `first`.
CallsFigures run_calls(uint64_t first, uint64_t count);

}  // namespace ripstop::proof
