// What lib/base/atomic_pair.h is, for the explorer: the same declarations, and each change is a call that
// the explorer schedules. It stands before the library's folder in the include path of that build alone.
#pragma once

#include <atomic>
#include <cstdint>

extern "C" {
bool ripstop_explored_swap(void* word, uint64_t expected[2], uint64_t low, uint64_t high) noexcept;
void ripstop_explored_store(void* word, uint64_t low, uint64_t high) noexcept;
}

namespace ripstop::base {

struct Pair {
  uint64_t low;
  uint64_t high;
  friend bool operator==(const Pair&, const Pair&) = default;
};

struct alignas(16) AtomicPair {
  std::atomic<uint64_t> low;
  std::atomic<uint64_t> high;

  bool compare_exchange(Pair& expected, Pair desired) noexcept {
    uint64_t seen[2] = {expected.low, expected.high};
    const bool swapped = ripstop_explored_swap(this, seen, desired.low, desired.high);
    expected = {seen[0], seen[1]};
    return swapped;
  }
  void store_exclusive(Pair value) noexcept { ripstop_explored_store(this, value.low, value.high); }
};
static_assert(sizeof(AtomicPair) == 16);

bool cpu_has_pair_swap() noexcept;

}  // namespace ripstop::base
