// A counter in shared memory that one thread writes and anybody reads, for people.
#pragma once

#include <atomic>
#include <cstdint>

namespace ripstop::base {

// A load and a store: no other writer, so no swap.
inline void count_up(std::atomic<uint64_t>& counter, uint64_t amount) noexcept {
  // Relaxed: nothing depends on it.
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

}  // namespace ripstop::base
