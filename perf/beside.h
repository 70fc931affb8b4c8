// What the machine itself costs, measured beside a bench in the same run: the ratio survives other
// load and other machines, the nanoseconds do not.
#pragma once

#include <benchmark/benchmark.h>

#include <ctime>

#include <algorithm>
#include <cstddef>
#include <vector>

#include "base/atomic_pair.h"
#include "base/cache_line.h"

namespace ripstop::perf {

// CPU time of this thread: what others run meanwhile does not count.
inline double thread_cpu_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// One uncontended `lock cmpxchg16b` that succeeds, its operands in registers; the mean of 2,000.
inline double pair_swap_ns() noexcept {
  constexpr int kSwaps = 2000;
  alignas(base::kCacheLineBytes) base::AtomicPair word{};
  base::Pair expected{0, 0};
  const double begin = thread_cpu_ns();
  for (int i = 0; i < kSwaps; ++i) {
    const base::Pair next{expected.low + 1, expected.high};
    word.compare_exchange(expected, next);
    expected = next;
  }
  return (thread_cpu_ns() - begin) / kSwaps;
}

// Watches a bench's loop, a block of iterations at a time, with blocks of bare 16-byte swaps between
// them. At its end it adds the counters
//   p50_ns, p5_ns  CPU time of one unit: the median of the blocks, and of the quiet ones;
//   swap_ns        the median of the swaps;
//   x_swap         p50_ns over swap_ns.
// On a machine with other load read these; Google Benchmark's own columns are means of everything.
class BesideSwap {
 public:
  // An iteration is `per_iteration` units.
  explicit BesideSwap(benchmark::State& state, int per_iteration = 1)
      : state_(state),
        per_iteration_(per_iteration),
        block_iterations_(std::max(1, 2000 / per_iteration)) {
    swaps_.push_back(pair_swap_ns());
    begin_ = thread_cpu_ns();
  }
  BesideSwap(const BesideSwap&) = delete;
  BesideSwap& operator=(const BesideSwap&) = delete;
  ~BesideSwap() {
    if (blocks_.empty()) end_block();
    const double p50_ns = percentile(blocks_, 50);
    const double swap_ns = percentile(swaps_, 50);
    state_.counters["p50_ns"] = p50_ns;
    state_.counters["p5_ns"] = percentile(blocks_, 5);
    state_.counters["swap_ns"] = swap_ns;
    state_.counters["x_swap"] = p50_ns / swap_ns;
  }

  // Once in each iteration.
  void count() {
    if (++iterations_ == block_iterations_) [[unlikely]]
      end_block();
  }

 private:
  void end_block() {
    const double now = thread_cpu_ns();
    if (iterations_ > 0) blocks_.push_back((now - begin_) / (iterations_ * per_iteration_));
    if (blocks_.size() % 16 == 0) swaps_.push_back(pair_swap_ns());
    iterations_ = 0;
    begin_ = thread_cpu_ns();
  }
  static double percentile(std::vector<double>& values, std::size_t percent) {
    if (values.empty()) return 0;
    const std::size_t at = values.size() * percent / 100;
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at),
                     values.end());
    return values[at];
  }

  benchmark::State& state_;
  int per_iteration_;
  int block_iterations_;
  int iterations_ = 0;
  double begin_ = 0;
  std::vector<double> blocks_;
  std::vector<double> swaps_;
};

}  // namespace ripstop::perf
