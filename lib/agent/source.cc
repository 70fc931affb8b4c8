#include "agent/source.h"

#include <algorithm>

#include "ring/space.h"

namespace ripstop::detail {

using layout::Phase;

Source::Look Source::next_shared(uint64_t& position, ring::SlotView& slot, uint32_t agent_id) noexcept {
  // Bounded: each round a slot was evicted under our hands.
  for (uint32_t round = 0; round <= 2 * ring_.slot_count(); ++round) {
    const uint64_t head = head_.load(std::memory_order_relaxed);  // Relaxed: ours.
    slot = ring_.read(head);
    const int64_t ahead = layout::turn_distance(layout::word_turn(slot.state), ring_.turn(head));
    const Phase phase = layout::word_phase(slot.state);
    if (ahead < 0 || (ahead == 0 && (phase == Phase::Empty || phase == Phase::Closed))) return Look::Nothing;
    if (ahead > 0 || phase == Phase::Taken) {
      // Evicted, or being evicted. Evictions go in order, so what lay a lap before this slot's contents is
      // gone too: skip it in one step, however far behind we are.
      const uint64_t lap = ring_.slot_count();
      uint64_t next = head + (ahead > 1 ? static_cast<uint64_t>(ahead) - 1 : 0) * lap + 1;
      // A turn that lies beyond the tail was scribbled on. Relaxed: a hint, a lap's slack for its lag.
      const uint64_t tail = ring_.tail_hint().load(std::memory_order_relaxed);
      if (static_cast<int64_t>(next - tail) > static_cast<int64_t>(lap)) next = head + 1;
      move_head(next);
      if (oldest_ + lap < next) oldest_ = next - lap;
      advance();
      continue;
    }
    if (head - oldest_ >= way_) return Look::InTheWay;
    if (!ring_.take(head, slot, agent_id)) continue;
    position = head;
    move_head(head + 1);
    return Look::Found;
  }
  return Look::Nothing;
}

bool Source::has_mail() const noexcept {
  // Relaxed: a stale position makes one look too many, or is corrected by the order arm, look, sleep.
  const uint64_t head = head_.load(std::memory_order_relaxed);
  const ring::SlotView slot = ring_.read(head);
  return layout::word_phase(slot.state) != Phase::Empty || layout::word_turn(slot.state) != ring_.turn(head);
}

void Source::advance() noexcept {
  const uint64_t head = head_.load(std::memory_order_relaxed);  // Relaxed: ours.
  // Emptied: the slot is in a later turn, be it EMPTY or, where publishers evict, pushed again.
  while (oldest_ < head && layout::turn_distance(layout::word_turn(ring_.read(oldest_).state), ring_.turn(oldest_)) > 0) ++oldest_;
  hint_->store(oldest_, std::memory_order_relaxed);  // Relaxed: a hint to all others.
}

void Source::wake_publishers(uint64_t position) noexcept {
  // Every eighth of the ring, and whenever nothing else is there to take: that costs few wakes and
  // leaves nobody asleep.
  const uint64_t eighth = std::max<uint64_t>(1, ring_.slot_count() / 8);
  const uint64_t head = head_.load(std::memory_order_relaxed);  // Relaxed: ours.
  if ((position + 1) % eighth == 0 || layout::word_phase(ring_.read(head).state) == Phase::Empty) {
    ring::wake_space_waiters(*back_);
  }
}

}  // namespace ripstop::detail
