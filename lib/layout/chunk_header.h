// The two lines in front of every payload: the holders and what the message says of itself.
// LAYOUT.md §3 draws them. The first line is all that a delivery needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/atomic_pair.h"
#include "base/cache_line.h"
#include "layout/words.h"

namespace ripstop::layout {

// What a chunk is to its message.
enum class ChunkRole : uint8_t {
  Root = 0,          // The message: its first segment.
  Continuation = 1,  // A further segment.
  ReceiverList = 2,  // The names of more receivers than fit into the root's header.
  Branch = 3,        // The holders of deliveries 53.. of a large fan-out.
};

inline constexpr uint8_t kFlagTraceSampled = 1;
inline constexpr uint8_t kFlagLinked = 2;  // `link` names something: the last release closes before it frees.

inline constexpr uint8_t kFlagDirect = 4;  // Committed in a direct lane: its bits are the members', and no slot names it.

inline constexpr std::size_t kHeaderReceivers = 4;

// Written by the loaner until the commit, by nobody afterwards, but for `holders`.
struct ChunkHeader {
  // {generation, bits}. FREE {g,0} is written by the slab's owner alone (loan), LOANED {g,publisher}
  // by the loaner alone (commit, abort), everything after the commit by compare-and-swap.
  alignas(base::kCacheLineBytes) base::AtomicPair holders;

  uint64_t sequence;         // The publisher's number on this topic, from 1.
  uint64_t publish_time_ns;  // scaled_now_ns at the send.
  uint64_t deadline_ns;      // 0: none.
  uint32_t payload_bytes;    // Used bytes behind this header.
  uint32_t topic_id;
  uint32_t source;     // make_receiver() of the publishing agent.
  uint32_t schema_id;
  uint32_t checksum;   // CRC32C of the payload, 0 when the topic does not ask for one.
  ChunkRole role : 4;
  uint8_t priority : 4;
  uint8_t content_type;
  uint8_t flags;
  uint8_t publisher_row;  // In the source's block: one publisher, one row of sequences.

  // Second line. Not read on the way of a plain delivery.
  alignas(base::kCacheLineBytes) uint32_t receivers[kHeaderReceivers];  // Bit i's receiver; 0: see the list.
  Reference link;         // Root: first linked chunk. Linked chunk: the next one. 0: none.
  Reference root;         // Linked chunk: its root. Root: 0.
  uint64_t correlation;
  uint8_t trace_id[16];
  uint8_t span_id[8];
};
static_assert(sizeof(ChunkHeader) == 128);
static_assert(offsetof(ChunkHeader, sequence) == 16);
static_assert(offsetof(ChunkHeader, payload_bytes) == 40);
static_assert(offsetof(ChunkHeader, source) == 48);
static_assert(offsetof(ChunkHeader, content_type) == 61);
static_assert(offsetof(ChunkHeader, receivers) == 64);
static_assert(offsetof(ChunkHeader, link) == 80);
static_assert(offsetof(ChunkHeader, trace_id) == 104);

inline constexpr std::size_t kChunkHeaderBytes = sizeof(ChunkHeader);

// Behind the header of a ReceiverList or a Branch. A Branch also says which bit of its root it holds.
struct ReceiverNames {
  uint32_t count;     // Names used.
  uint32_t root_bit;  // Branch: the root's bit it holds. ReceiverList: 0.
  uint32_t names[kDeliveryCount];  // Bit i's receiver, as make_receiver() makes it.
  uint32_t reserved[9];
};
static_assert(sizeof(ReceiverNames) == 256);

}  // namespace ripstop::layout
