// What the machine itself costs, measured beside a bench in the same run: the ratio survives other
// load and other machines, the nanoseconds do not.
#pragma once

#include <benchmark/benchmark.h>

#include <ctime>

#include <algorithm>
#include <cstdint>

#include "base/atomic_pair.h"
#include "base/cache_line.h"

namespace ripstop::perf {

// CPU time of this thread: what others run meanwhile does not count.
inline double thread_cpu_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// One uncontended `lock cmpxchg16b` that succeeds, its operands in registers.
inline double pair_swap_ns() noexcept {
  constexpr int kSwaps = 20'000;
  alignas(base::kCacheLineBytes) base::AtomicPair word{};
  base::Pair expected{0, 0};
  double best = 1e18;
  for (int round = 0; round < 3; ++round) {
    const double begin = thread_cpu_ns();
    for (int i = 0; i < kSwaps; ++i) {
      const base::Pair next{expected.low + 1, expected.high};
      word.compare_exchange(expected, next);
      expected = next;
    }
    best = std::min(best, (thread_cpu_ns() - begin) / kSwaps);
  }
  return best;
}

// Lives around a bench's loop. Adds the counters `swap_ns`, what a bare 16-byte swap costs before and
// after it, and `x_swap`, the bench's own CPU time for each of `per_iteration` units over that.
class BesideSwap {
 public:
  explicit BesideSwap(benchmark::State& state, double per_iteration = 1) noexcept
      : state_(state), per_iteration_(per_iteration), swap_ns_(pair_swap_ns()), begin_(thread_cpu_ns()) {}
  BesideSwap(const BesideSwap&) = delete;
  BesideSwap& operator=(const BesideSwap&) = delete;
  ~BesideSwap() {
    const double own_ns = (thread_cpu_ns() - begin_) / (static_cast<double>(state_.iterations()) * per_iteration_);
    const double swap_ns = std::min(swap_ns_, pair_swap_ns());
    state_.counters["swap_ns"] = swap_ns;
    state_.counters["each_ns"] = own_ns;
    state_.counters["x_swap"] = own_ns / swap_ns;
  }

 private:
  benchmark::State& state_;
  double per_iteration_;
  double swap_ns_;
  double begin_;
};

}  // namespace ripstop::perf
