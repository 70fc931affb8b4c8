// The few lines by which the processes of one run find each other, and where they leave what they
// measured.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "plan.h"

namespace rivals {

inline constexpr std::size_t kMaxProcesses = 65;
inline constexpr std::size_t kMaxSamples = 1U << 20U;

struct alignas(64) ProcessResult {
  std::uint64_t count = 0;  // Messages received since the warm-up.
  std::uint64_t end_tsc = 0;
  std::uint64_t cpu_ns = 0;  // Since the warm-up; a sender adds the server's.
};

struct Control {
  // Written by every process as it gets to the barrier.
  alignas(64) std::atomic<std::uint32_t> arrived[3];
  // Written by the last one to arrive; the run begins.
  alignas(64) std::atomic<std::uint64_t> start_tsc;
  // How often the kernel took a core from a process of the run, between the two last barriers.
  alignas(64) std::atomic<std::uint64_t> preempt_count;
  // Senders that have sent everything, for receivers that lost the last message.
  alignas(64) std::atomic<std::uint32_t> finished_count;
  // Of rivals that are kept within a window: messages sent, and received by each receiver.
  alignas(64) std::atomic<std::uint64_t> sent_count;
  struct alignas(64) Progress {
    std::atomic<std::uint64_t> count;
  } received[kMaxProcesses];

  // A bare line that goes to and fro before and after a spinning round trip; each end writes its own.
  struct alignas(128) BareLine {
    std::atomic<std::uint64_t> word;
  } bare_lines[2];
  double line_ticks;  // Of a whole round trip of it: the mean of the two medians.

  ProcessResult results[kMaxProcesses];  // Each process writes its own.
  alignas(64) std::atomic<bool> failed;
  char error[256];  // Written by the first that failed.
  alignas(64) std::uint64_t sample_count;
  std::uint32_t samples[kMaxSamples];  // TSC ticks of whole round trips.
};

// The run's control block; made by the parent before it forks.
Control& control();

// Notes `what` as the run's error and ends this process; fail_errno adds what errno says.
[[noreturn]] void fail(std::string_view what);
[[noreturn]] void fail_errno(std::string_view what);

// Waits until all processes of the run are at the barrier `phase`.
void meet(const Plan& plan, unsigned phase);

// Both ends of a spinning round trip call it at the same time: lets a bare line go to and fro, and notes
// what that took. The processor of a virtual machine is not the same one from second to second, so each
// run has its own floor.
void measure_line(unsigned index, unsigned turn);

inline std::uint64_t tsc() {
  return __builtin_ia32_rdtsc();
}
// Ticks per second, measured once by the parent.
double tsc_hz();

std::uint64_t own_cpu_ns();
// CPU time of the process `pid` and its threads; 0 for pid 0.
std::uint64_t cpu_ns_of(pid_t pid);

// What to do when there is nothing to take or no room. On a core of one's own: nothing. Where
// processes share cores: give it away from time to time.
void set_yielding(bool yielding);
void wait_a_moment();

}  // namespace rivals
