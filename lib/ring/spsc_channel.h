// The channel: one producer, one consumer, the payload in the slot.
//
// Invariants, and who may write each word:
//   slot.sequence  the producer alone, last of all it writes to the slot: n+1 when message n is there.
//   tail           the producer alone, after the slot: a new producer goes on from there.
//   head           the consumer alone, when it is done with a slot; the producer reads it only when its
//                  own copy says full.
// The commit of a message is the store of its slot's sequence; a producer that dies between it and the
// tail leaves tail one behind, and whoever comes next reads the slot's sequence and goes on after it.
//
// How it is fast: the consumer spins on the slot itself, so one line moves per small message; while it
// spins it touches every line of a small slot, so that they come together.
//
// Edges.  R(message) -> A(message)  a slot's bytes, producer to consumer.
//         R(room)    -> A(room)     a slot's reuse, consumer to producer.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/cache_line.h"
#include "layout/ring_slots.h"

namespace ripstop::ring {

class SpscChannel {
 public:
  // `slot_count` is a power of two, `slot_bytes` a multiple of the line.
  SpscChannel(layout::ChannelHeader& header, std::byte* slots, uint32_t slot_count, uint32_t slot_bytes) noexcept
      : header_(&header),
        slots_(slots),
        mask_(slot_count - 1),
        slot_bytes_(slot_bytes),
        line_count_(slot_bytes / static_cast<uint32_t>(base::kCacheLineBytes)) {}

  std::size_t payload_bytes_max() const noexcept { return slot_bytes_ - sizeof(layout::ChannelSlot); }

  // --- the producer ---------------------------------------------------------------------------------

  // Goes on where the last producer ended. False when the indices contradict one another.
  bool open_producer() noexcept {
    next_ = header_->tail.load(std::memory_order_acquire);  // A(message)
    peer_ = header_->head.load(std::memory_order_acquire);  // A(room)
    if (slot(next_).sequence.load(std::memory_order_acquire) == next_ + 1) ++next_;  // A(message): died before its tail.
    return next_ - peer_ <= mask_ + 1;
  }
  bool has_room() noexcept {
    if (next_ - peer_ <= mask_) return true;
    peer_ = header_->head.load(std::memory_order_acquire);  // A(room)
    return next_ - peer_ <= mask_;
  }
  // The consumer's index says less than it has said, or more than was sent.
  bool corrupt() const noexcept { return next_ - peer_ > mask_ + 1; }
  std::byte* next_payload() noexcept { return reinterpret_cast<std::byte*>(&slot(next_)) + sizeof(layout::ChannelSlot); }
  // Commits the slot. has_room() was true.
  void push(uint32_t payload_bytes, uint8_t content_type) noexcept {
    layout::ChannelSlot& slot = this->slot(next_);
    slot.payload_bytes = payload_bytes;
    slot.content_type = content_type;
    slot.sequence.store(next_ + 1, std::memory_order_release);  // R(message)
    ++next_;
    header_->tail.store(next_, std::memory_order_release);  // R(message)
    base::prefetch_for_write(&this->slot(next_));
  }

  // --- the consumer -----------------------------------------------------------------------------------

  // Goes on where the last consumer ended: what it had not released comes again.
  bool open_consumer() noexcept {
    next_ = header_->head.load(std::memory_order_acquire);  // A(room)
    peer_ = header_->tail.load(std::memory_order_acquire);  // A(message)
    repeat_end_ = peer_;
    // The last producer may have died before it moved its tail, after we took what it committed.
    return peer_ - next_ <= mask_ + 1 || next_ == peer_ + 1;
  }
  bool has_message() noexcept {
    layout::ChannelSlot& slot = this->slot(next_);
    const bool there = slot.sequence.load(std::memory_order_acquire) == next_ + 1;  // A(message)
    if (!there && line_count_ <= kTouchedLines) touch(slot);
    return there;
  }
  // has_message() was true. The bytes are bounded by the slot.
  const layout::ChannelSlot& front() noexcept { return slot(next_); }
  const std::byte* front_payload() noexcept { return next_payload(); }
  // Gives the slot back. True when the producer may be waiting for it.
  void pop() noexcept {
    ++next_;
    header_->head.store(next_, std::memory_order_release);  // R(room)
  }
  // The message at the front was sent before this consumer came.
  bool front_is_old() const noexcept { return next_ < repeat_end_; }

  uint64_t next() const noexcept { return next_; }
  layout::ChannelHeader& header() noexcept { return *header_; }

 private:
  static constexpr uint32_t kTouchedLines = 4;

  layout::ChannelSlot& slot(uint64_t position) noexcept {
    return *reinterpret_cast<layout::ChannelSlot*>(slots_ + (position & mask_) * slot_bytes_);
  }
  void touch(const layout::ChannelSlot& slot) const noexcept {
    const auto* line = reinterpret_cast<const std::byte*>(&slot);
    for (uint32_t i = 1; i < line_count_; ++i) base::prefetch_for_read(line + i * base::kCacheLineBytes);
  }

  layout::ChannelHeader* header_;
  std::byte* slots_;
  uint64_t mask_;
  uint32_t slot_bytes_;
  uint32_t line_count_;
  uint64_t next_ = 0;  // Our own index.
  uint64_t peer_ = 0;  // The other side's, as last seen.
  uint64_t repeat_end_ = 0;
};

}  // namespace ripstop::ring
