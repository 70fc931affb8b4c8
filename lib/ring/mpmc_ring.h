// The ring: a bounded queue of 16-byte slots in shared memory, many pushers, one or many takers.
//
// Invariants, and who may write each word:
//   A position p = turn * slot_count + index is pushed once. Positions are pushed without holes.
//   slot EMPTY(turn), word low = the ring's incarnation     -> FULL(turn)      any pusher, by swap
//   slot FULL(turn), low = reference                        -> TAKEN(turn)     a taker or evictor, by swap
//   slot FULL or TAKEN(turn)                                -> EMPTY(turn+1)   who took it, or helps; by swap
//     In a ring with one taker and no eviction the taker reads FULL in place and is the only one who
//     may change it, so it empties it with one 16-byte store.
//   slot at the tail, EMPTY or FULL of the last lap         -> CLOSED(turn)    recovery
//   FULL or TAKEN of a closed ring whose taker is dead       -> CLOSED(turn)    recovery, once it has the message
//   CLOSED or EMPTY of a closed ring                        -> EMPTY(turn+1, new incarnation)  reopening
//   tail_hint: any pusher, plain store of a position that was the tail; so it never leads the tail,
//     and a slot that is EMPTY in just the hint's turn is the tail: nothing behind it was pushed.
//   head_hint: the taker.
//
// Nobody waits for anybody: a pusher that dies after its swap leaves a lagging hint, and the next one
// walks over the slot. Every walk is bounded by the ring's capacity; beyond it the answer is Corrupt.
//
// Edges.  R(slot) -> A(slot)  the message behind a slot, pusher to taker, and the emptied slot back.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>

#include "base/atomic_pair.h"
#include "base/cache_line.h"
#include "layout/ring_slots.h"
#include "layout/words.h"

namespace ripstop::ring {

enum class [[nodiscard]] Push : uint8_t {
  Ok,
  Full,
  Closed,
  Stale,    // The ring has a new incarnation: its old owner is gone.
  Corrupt,  // The slots contradict one another.
};

// A slot's contents, as they were at one moment.
struct SlotView {
  uint64_t low;
  uint64_t state;
};

// Where the next push belongs, as found by find_tail().
struct Tail {
  Push outcome;       // Ok: `position` is free.
  uint64_t position;  // Full: of the lap that does not fit.
  SlotView slot;      // What lies there.
};

// A view of a ring; costs nothing to make. `slots` has 1 << slot_shift elements.
class MpmcRing {
 public:
  MpmcRing(layout::Slot* slots, uint32_t slot_count, std::atomic<uint64_t>* tail_hint,
           std::atomic<uint64_t>* head_hint) noexcept
      : slots_(slots),
        tail_hint_(tail_hint),
        head_hint_(head_hint),
        mask_(slot_count - 1),
        shift_(static_cast<uint32_t>(std::countr_zero(slot_count))) {}

  uint32_t slot_count() const noexcept { return mask_ + 1; }
  layout::Slot& slot(uint64_t position) const noexcept { return slots_[position & mask_]; }
  uint64_t turn(uint64_t position) const noexcept { return (position >> shift_) & layout::kTurnMask; }
  uint64_t position(uint64_t turn, uint64_t index) const noexcept { return (turn << shift_) | index; }

  // Fetches a slot's line for writing, without waiting for it.
  void prefetch(uint64_t position) const noexcept { base::prefetch_for_write(&slots_[position & mask_]); }
  void prefetch_tail() const noexcept {
    prefetch(tail_hint_->load(std::memory_order_relaxed));  // Relaxed: a hint.
  }

  // Reads a slot by halves: state, low, state. When the state changes in between it is read again, at
  // most as often as a slot can change while we look once around; the last reading is returned.
  SlotView read(uint64_t position) const noexcept {
    const layout::Slot& slot = slots_[position & mask_];
    SlotView view{0, slot.high.load(std::memory_order_acquire)};  // A(slot)
    for (int tries = 0; tries < 64; ++tries) {
      view.low = slot.low.load(std::memory_order_acquire);                       // A(slot)
      const uint64_t again = slot.high.load(std::memory_order_acquire);  // A(slot)
      if (again == view.state) return view;
      view.state = again;
    }
    return view;
  }

  // Finds the first position that has not been pushed. `incarnation` is the ring's as the caller knows it.
  Tail find_tail(uint64_t incarnation) const noexcept {
    // Relaxed: a hint; the slots themselves are looked at.
    uint64_t at = tail_hint_->load(std::memory_order_relaxed);
    const uint64_t steps_max = 4 * (static_cast<uint64_t>(mask_) + 1) + 4;
    bool looked_around = false;
    for (uint64_t steps = 0; steps < steps_max; ++steps) {
      const SlotView view = read(at);
      const layout::Phase phase = layout::word_phase(view.state);
      const int64_t ahead = layout::turn_distance(layout::word_turn(view.state), turn(at));
      if (phase == layout::Phase::Closed) return {Push::Closed, at, view};
      if (ahead == 0) {
        if (phase != layout::Phase::Empty) {
          ++at;  // Pushed already: the hint lags.
          continue;
        }
        return {view.low == incarnation ? Push::Ok : Push::Stale, at, view};
      }
      if (ahead < 0) {
        if (phase != layout::Phase::Empty && ahead == -1) return {Push::Full, at, view};
        // The hint leads, which no pusher does: it was scribbled on. Start from what the slots say.
        if (looked_around) return {Push::Corrupt, at, view};
        looked_around = true;
        at = oldest_position();
        continue;
      }
      // The hint is more than a lap old. An EMPTY slot was pushed in the turn before its own.
      const uint64_t turn_pushed = layout::word_turn(view.state) - (phase == layout::Phase::Empty ? 1 : 0);
      at = position(turn_pushed & layout::kTurnMask, at & mask_) + 1;
    }
    return {Push::Corrupt, at, {0, 0}};
  }

  // The tail as the hints have it, without a look at its slot; nothing when they do not promise room.
  // `head_seen` is the caller's memory of head_hint, read again only when it says full. A push to a
  // wrong guess fails and looks.
  std::optional<Tail> guess_tail(uint64_t incarnation, uint64_t& head_seen) const noexcept {
    const uint64_t at = tail_hint_->load(std::memory_order_relaxed);  // Relaxed: a hint, the swap decides.
    if (at - head_seen > mask_) {
      head_seen = head_hint_->load(std::memory_order_relaxed);  // Relaxed: a hint, the swap decides.
      if (at - head_seen > mask_) return std::nullopt;
    }
    const uint64_t empty = layout::pack({turn(at), 0, 0, layout::kOwnerNone, layout::Phase::Empty});
    return Tail{Push::Ok, at, {incarnation, empty}};
  }

  // Pushes at the tail. `tail` is what find_tail() said, to save a second look.
  Push push(Tail tail, uint64_t incarnation, layout::Reference reference, uint32_t bit, uint32_t attempt) noexcept {
    const uint64_t tries_max = 64 * (static_cast<uint64_t>(mask_) + 1);
    for (uint64_t tries = 0; tries < tries_max; ++tries) {
      if (tail.outcome != Push::Ok) return tail.outcome;
      base::Pair expected{tail.slot.low, tail.slot.state};
      const base::Pair full{reference, layout::pack({turn(tail.position), bit, attempt, layout::kOwnerNone,
                                                     layout::Phase::Full})};
      // The swap is R(slot) for the chunk that was filled before it.
      if (slots_[tail.position & mask_].compare_exchange(expected, full)) {
        // Relaxed: a hint, and the swap above is what others rely on.
        tail_hint_->store(tail.position + 1, std::memory_order_relaxed);
        return Push::Ok;
      }
      tail = find_tail(incarnation);
    }
    return Push::Corrupt;  // As many others got in between as no live ring lets in.
  }
  Push push(uint64_t incarnation, layout::Reference reference, uint32_t bit, uint32_t attempt) noexcept {
    return push(find_tail(incarnation), incarnation, reference, bit, attempt);
  }

  // One taker, no eviction: whether the message at `head` is there. It stays in its slot until empty().
  bool peek(uint64_t head, SlotView& view) const noexcept {
    const layout::Slot& slot = slots_[head & mask_];
    view.state = slot.high.load(std::memory_order_acquire);  // A(slot)
    if (layout::word_phase(view.state) != layout::Phase::Full || layout::word_turn(view.state) != turn(head)) {
      return false;
    }
    // Relaxed: FULL was written with it in one swap, and only we may change it.
    view.low = slot.low.load(std::memory_order_relaxed);
    return true;
  }

  // One taker, no eviction: gives the slot at `head` back, after the holder bit is gone.
  void empty(uint64_t head, uint64_t incarnation) noexcept {
    const base::Pair next{incarnation, layout::pack({turn(head) + 1, 0, 0, layout::kOwnerNone, layout::Phase::Empty})};
    slots_[head & mask_].store_exclusive(next);  // R(slot)
  }

  // Many takers, or eviction: FULL -> TAKEN(owner). False when somebody else was faster.
  bool take(uint64_t head, SlotView& view, uint32_t owner) noexcept {
    if (layout::word_phase(view.state) != layout::Phase::Full) return false;
    layout::SlotState state = layout::unpack(view.state);
    state.phase = layout::Phase::Taken;
    state.owner = owner;
    base::Pair expected{view.low, view.state};
    // A(slot), R(slot)
    if (!slots_[head & mask_].compare_exchange(expected, {view.low, layout::pack(state)})) return false;
    view.state = layout::pack(state);
    return true;
  }

  // TAKEN -> EMPTY of the next turn, after the holder bit is gone. False when a helper moved it on.
  bool finish(uint64_t head, const SlotView& view, uint64_t incarnation) noexcept {
    base::Pair expected{view.low, view.state};
    // R(slot)
    return slots_[head & mask_].compare_exchange(
        expected, {incarnation, layout::pack({layout::word_turn(view.state) + 1, 0, 0, layout::kOwnerNone,
                                              layout::Phase::Empty})});
  }

  std::atomic<uint64_t>& head_hint() noexcept { return *head_hint_; }
  std::atomic<uint64_t>& tail_hint() noexcept { return *tail_hint_; }

 private:
  // The first position that any slot speaks of: never beyond the tail.
  uint64_t oldest_position() const noexcept {
    uint64_t oldest = 0;
    uint64_t oldest_turn = layout::word_turn(read(0).state);
    for (uint64_t index = 1; index <= mask_; ++index) {
      const uint64_t turn_here = layout::word_turn(read(index).state);
      if (layout::turn_distance(turn_here, oldest_turn) >= 0) continue;
      oldest = index;
      oldest_turn = turn_here;
    }
    return position(oldest_turn, oldest);
  }

  layout::Slot* slots_;
  std::atomic<uint64_t>* tail_hint_;
  std::atomic<uint64_t>* head_hint_;
  uint32_t mask_;
  uint32_t shift_;
};

}  // namespace ripstop::ring
