// What the others do while an agent is stopped in the middle of something, what befalls it then, and
// whether what everybody was told is true.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "proof/judge.h"
#include "proof/scenario.h"

namespace ripstop::proof {

enum class Fate : uint8_t {
  Killed,       // And settled.
  Resumed,      // It goes on where it stood, to the end of its operation.
  ResumedLate,  // The same, after rings were lapped, a slab lost its owner and places changed hands.
};
inline constexpr uint32_t kFateCount = 3;
const char* to_text(Fate fate);

// The stopped agent: a process that waits at a gate. In memory that it shares with its judge.
struct Stopped {
  std::atomic<uint32_t> gate{0};  // Futex word; 1: open.
  pid_t pid = 0;
  // What it says when its operation is over.
  bool over = false;
  bool is_intact = false;  // What it has in its hands says what it said before.
  bool has_sent = false;
  Sent sent{};
  uint64_t taken = 0;  // Of its first subscription; 0: nothing.

  void wait_at_gate() noexcept;
  void report(Member& victim);
};

// In a child of its own, in the copy of the memory, which the stopped one has too.
void judge_stop(World& world, const Scenario& scenario, Fate fate, Stopped& stopped, Verdict& verdict);

}  // namespace ripstop::proof
