// Waiting for room in a full ring, without a fence on the taker's side.
//
// Who writes: a publisher sets space_waiters to 1 before it sleeps; the taker clears it and moves
// space_word before it wakes them.
//   publisher: word = space_word, waiters = 1, heavy fence, look for room, sleep while word is unchanged.
//   taker:     empty a slot, load waiters; if set: clear, move the word, wake all.
// The taker's load may pass its store of the slot; the publisher's heavy fence (membarrier: a full
// fence on every processor that runs a taker) makes that harmless. Where the kernel has none, the
// publisher looks again every millisecond.
//
// Edges.  R(space) -> A(space)  "a slot was emptied", taker to sleeping publisher.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "layout/ring_slots.h"

namespace ripstop::ring {

// A taker's process says once that heavy fences of others shall reach it.
void join_heavy_fences() noexcept;

// Sleeps until the taker made room, at most `timeout_ns`; may return early. `has_room` is asked again
// between announcing the wait and sleeping.
template <class HasRoom>
void wait_for_space(layout::RingBack& back, uint64_t timeout_ns, HasRoom has_room) noexcept;

// The taker's side, after it emptied slots.
inline bool has_space_waiters(const layout::RingBack& back) noexcept {
  // Relaxed: see the heavy fence above.
  return back.space_waiters.load(std::memory_order_relaxed) != 0;
}
void wake_space_waiters(layout::RingBack& back) noexcept;

// A full fence on every processor that runs a process which joined. False where the kernel has none:
// then sleep kUnfencedSliceNs at most and look again.
bool heavy_fence() noexcept;
inline constexpr uint64_t kUnfencedSliceNs = 1'000'000;
// A taker that neither takes nor releases for this long is looked at again, in case it died.
inline constexpr uint64_t kSpaceSliceNs = 50'000'000;

void sleep_for_space(layout::RingBack& back, uint32_t word, uint64_t timeout_ns) noexcept;

template <class HasRoom>
void wait_for_space(layout::RingBack& back, uint64_t timeout_ns, HasRoom has_room) noexcept {
  const uint32_t word = back.space_word.load(std::memory_order_acquire);  // A(space)
  back.space_waiters.store(1, std::memory_order_seq_cst);                 // R(space): before the look below.
  const uint64_t slice_ns = heavy_fence() ? kSpaceSliceNs : kUnfencedSliceNs;
  if (has_room()) return;
  sleep_for_space(back, word, std::min(timeout_ns, slice_ns));
}

}  // namespace ripstop::ring
