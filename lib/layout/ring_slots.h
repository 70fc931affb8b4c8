// A ring in shared memory: the line its pushers write, the line its taker writes, and 16-byte slots.
// An inbox is five rings that share the first two lines. LAYOUT.md §4 draws it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/atomic_pair.h"
#include "base/cache_line.h"

namespace ripstop::layout {

inline constexpr std::size_t kLaneCount = 5;

// low: the reference (FULL, TAKEN) or the ring's incarnation (EMPTY, CLOSED); high: pack(SlotState).
// Changed by compare-and-swap, or by the only taker's 16-byte store.
using Slot = base::AtomicPair;

// Doorbell: {sleep number:30, rung:1, armed:1}. Armed and cleared by the sleeper, rung by publishers.
inline constexpr uint32_t kDoorbellArmed = 1;
inline constexpr uint32_t kDoorbellRung = 2;
inline constexpr uint32_t kDoorbellSleepUnit = 4;

// The line that pushers touch.
struct RingFront {
  // Hints, plain stores of any pusher: a position whose predecessors have all been pushed.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> tail_hint[kLaneCount];
  std::atomic<uint32_t> doorbell;  // Futex word. See above.
  std::atomic<uint32_t> direct_version;  // Moves after an entry of the agent's direct table changed.
  uint64_t reserved1[2];
};
static_assert(sizeof(RingFront) == 64);

// The line that the taker touches.
struct RingBack {
  // Written by the taker alone: every slot below has been emptied. A hint for all others.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> head_hint[kLaneCount];
  std::atomic<uint32_t> space_word;     // Futex word of publishers that wait for room; moved by the taker.
  std::atomic<uint32_t> space_waiters;  // Set to 1 by a publisher before it sleeps, to 0 by the taker before it wakes them.
  // Written by the only taker of a ring without eviction: low bits of the next position to take. What lies
  // between head_hint and this is in its hands.
  std::atomic<uint16_t> taken_mark[kLaneCount];
  uint16_t reserved0[3];
};
static_assert(sizeof(RingBack) == 64);

// A ring of its own, in the ring arena. Slots follow.
struct RingBlock {
  RingFront front;  // tail_hint[0] is used; the doorbell is the owner's inbox's.
  RingBack back;    // head_hint[0] is used.
};
static_assert(sizeof(RingBlock) == 128);

// A channel: two index lines, then slots of slot_bytes (rounded up to lines). Fixed at creation; the
// geometry stands in the control segment's ring directory.
struct ChannelHeader {
  // Written by the producer alone: slots below hold messages. Only a hint for the consumer, which
  // reads the slot's own sequence.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> tail;
  std::atomic<uint32_t> producer;  // make_receiver() of the producer; written by the supervisor.
  std::atomic<uint32_t> sending;   // 1: the producer commits a message, and has not looked at the doorbell since.
  uint64_t reserved1[6];
  // Written by the consumer alone: slots below may be overwritten.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> head;
  std::atomic<uint32_t> doorbell;   // Futex word of the consumer, as in RingFront.
  std::atomic<uint32_t> releasing;  // 1: the consumer makes room, and has not looked at the space bell since.
  uint64_t reserved3[6];
  // Futex word of the producer when it waits for room. {sleep number:30, rung:1, armed:1}.
  alignas(base::kCacheLineBytes) std::atomic<uint32_t> space_bell;
  uint8_t reserved4[60];
};
static_assert(sizeof(ChannelHeader) == 192);

// In front of a channel slot's payload, in the same line, written last by the producer.
struct ChannelSlot {
  std::atomic<uint64_t> sequence;  // The message's number, from 1; what is there is older until it is.
  uint32_t payload_bytes;
  uint16_t flags;
  uint8_t content_type;
  uint8_t reserved0;
};
static_assert(sizeof(ChannelSlot) == 16);

}  // namespace ripstop::layout
