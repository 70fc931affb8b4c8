// The futex word on which an idle receiver sleeps: {sleep number:30, rung:1, armed:1}.
//
// Who writes: the sleeper arms it, with a new sleep number, and disarms it; publishers set `rung`.
// Protocol:   sleeper: arm, full fence, look at everything, wait while the word is unchanged.
//             publisher: push (a swap: a full fence), load the word, ring if it is armed.
//   Whoever comes second sees the other. A publisher rings once per sleep: it remembers the number it
//   rang for. Setting `rung` changes the word, so a sleeper that has not reached the kernel yet does
//   not fall asleep; a publisher that dies before the wake leaves it to the next one, who rings too.
//
// Edges.  R(bell) -> A(bell)  the ring, publisher to sleeper; the message itself goes by the slot.
#pragma once

#include <atomic>
#include <cstdint>

#include "layout/ring_slots.h"

namespace ripstop::ring {

// Wakes one or all sleepers on `word`, in any process. Returns how many were asleep.
int futex_wake(std::atomic<uint32_t>& word, int count) noexcept;

// Sleeps while `word` is `expected`, at most `timeout_ns` (0: for ever). True when woken or changed,
// false when the time was over.
bool futex_wait(std::atomic<uint32_t>& word, uint32_t expected, uint64_t timeout_ns) noexcept;

// A publisher's side. `last_rung` is the publisher's memory of this receiver, 0 at first.
// Returns true if a wake went out.
inline bool needs_ring(uint32_t word, uint32_t last_rung) noexcept {
  return (word & layout::kDoorbellArmed) != 0 && (word & ~layout::kDoorbellRung) != last_rung;
}
bool ring_doorbell(std::atomic<uint32_t>& bell, uint32_t& last_rung) noexcept;

// The sleeper's side.
class Sleeper {
 public:
  explicit Sleeper(std::atomic<uint32_t>& bell) noexcept : bell_(&bell) {}

  // Arms the bell. After it returns, look at everything before wait().
  void arm() noexcept;
  // Sleeps until rung, at most `timeout_ns` (0: for ever). False when the time was over.
  bool wait(uint64_t timeout_ns) noexcept;
  void disarm() noexcept;

 private:
  std::atomic<uint32_t>* bell_;
  uint32_t armed_word_ = 0;
};

}  // namespace ripstop::ring
