// A ring that an agent takes from: a lane of its inbox, or the ring of one subscription.
//
// A message is read in its slot and the slot is emptied when the message is released, so a plain
// delivery moves no descriptor. Thread: the agent's receiving thread, but for has_mail().
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "layout/ring_slots.h"
#include "layout/words.h"
#include "ring/mpmc_ring.h"

namespace ripstop::detail {

class Source {
 public:
  // `lane`: index into back.head_hint. `shared`: slots are taken by swap, because publishers may evict.
  // `own`: one subscription's, not a lane of the inbox.
  Source(ring::MpmcRing ring, uint64_t incarnation, layout::RingBack& back, std::size_t lane, bool shared,
         bool own) noexcept
      : ring_(ring),
        incarnation_(incarnation),
        back_(&back),
        hint_(&back.head_hint[lane]),
        mark_(&back.taken_mark[lane]),
        shared_(shared),
        own_(own),
        way_(ring.slot_count() < 4 ? 1 : ring.slot_count() / 2),
        oldest_(hint_->load(std::memory_order_relaxed)),  // Relaxed: set before we attached.
        head_(oldest_) {
    look_at(oldest_);
  }
  Source(Source&& other) noexcept
      : ring_(other.ring_),
        incarnation_(other.incarnation_),
        back_(other.back_),
        hint_(other.hint_),
        mark_(other.mark_),
        shared_(other.shared_),
        own_(other.own_),
        way_(other.way_),
        oldest_(other.oldest_),
        head_(other.head_.load(std::memory_order_relaxed)) {  // Relaxed: before any other thread has it.
    look_at(head());
  }

  enum class Look : uint8_t { Nothing, Found, InTheWay };

  // Looks for the next message. Found: `position` and `slot` are it, and it is ours until give_back().
  // InTheWay: the oldest message in hand is half a ring behind and must be moved away first.
  Look next(uint64_t& position, ring::SlotView& slot, uint32_t agent_id) noexcept {
    const uint64_t head = head_.load(std::memory_order_relaxed);  // Relaxed: ours.
    if (shared_) return next_shared(position, slot, agent_id);
    if (!ring_.peek(head, slot)) return Look::Nothing;
    if (head - oldest_ >= way_) [[unlikely]] return Look::InTheWay;
    ring_.prefetch(head);  // It is emptied soon.
    position = head;
    move_head(head + 1);
    return Look::Found;
  }
  // Whether nothing lies at the head. False may be damage: next() finds out.
  bool is_empty() const noexcept { return head_word_->load(std::memory_order_acquire) == empty_word_; }  // A(slot)

  // Empties the slot of a message whose bit is gone. False when a publisher that needed the slot has
  // moved the message into our held table.
  bool give_back(uint64_t position, const ring::SlotView& slot) noexcept {
    if (shared_) {
      const bool ours = ring_.finish(position, slot, incarnation_);
      emptied(position);
      return ours;
    }
    ring_.empty(position, incarnation_);
    emptied(position);
    return true;
  }

  // What the slot `behind` the head refers to, 0 when nothing is there.
  layout::Reference peek(uint64_t behind = 0) const noexcept {
    ring::SlotView slot{0, 0};
    return ring_.peek(head_.load(std::memory_order_relaxed) + behind, slot) ? slot.low : 0;  // Relaxed: ours.
  }
  uint32_t slot_count() const noexcept { return ring_.slot_count(); }

  // The next position to take.
  uint64_t head() const noexcept { return head_.load(std::memory_order_relaxed); }  // Relaxed: ours.
  // The oldest position that has not been given back.
  uint64_t oldest() const noexcept { return oldest_; }
  // Moves on from an oldest slot that holds nothing we have in hand: a helper emptied it.
  void look_behind() noexcept {
    if (oldest_ == head_.load(std::memory_order_relaxed)) return;  // Relaxed: ours.
    ++oldest_;
    advance();
  }

  // Whether something lies at the head. Thread: any.
  bool has_mail() const noexcept;

  bool own() const noexcept { return own_; }

 private:
  void look_at(uint64_t head) noexcept {
    head_word_ = &ring_.slot(head).high;
    empty_word_ = layout::pack({ring_.turn(head), 0, 0, layout::kOwnerNone, layout::Phase::Empty});
  }
  void move_head(uint64_t head) noexcept {
    head_.store(head, std::memory_order_relaxed);  // Relaxed: ours.
    // Relaxed: for the supervisor, who only looks; where publishers evict, the slots say it.
    if (!shared_) mark_->store(static_cast<uint16_t>(head), std::memory_order_relaxed);
    look_at(head);
  }
  Look next_shared(uint64_t& position, ring::SlotView& slot, uint32_t agent_id) noexcept;

  void emptied(uint64_t position) noexcept {
    if (position == oldest_) [[likely]] {
      if (position + 1 == head_.load(std::memory_order_relaxed)) {  // Relaxed: ours.
        oldest_ = position + 1;
        hint_->store(oldest_, std::memory_order_relaxed);  // Relaxed: a hint to all others.
      } else {
        advance();
      }
    }
    // Relaxed: the waiting publisher's heavy fence (ring/space.h).
    if (back_->space_waiters.load(std::memory_order_relaxed) != 0) [[unlikely]] wake_publishers(position);
  }
  void advance() noexcept;
  void wake_publishers(uint64_t position) noexcept;

  const std::atomic<uint64_t>* head_word_;  // The slot at the head,
  uint64_t empty_word_;                     // and what it says when it is empty.
  ring::MpmcRing ring_;
  uint64_t incarnation_;
  layout::RingBack* back_;
  std::atomic<uint64_t>* hint_;
  std::atomic<uint16_t>* mark_;
  bool shared_;
  bool own_;
  uint64_t way_;     // How far the oldest message in hand may lie behind the head.
  uint64_t oldest_;  // What the hint says; kept here because others can write the hint.
  std::atomic<uint64_t> head_;  // The next position to take. Written by the receiving thread, read by fd()'s.
};

}  // namespace ripstop::detail
