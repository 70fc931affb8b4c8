// What an agent writes, one block each, in the segment of its node: inbox, held table, intents,
// counters. LAYOUT.md §5 draws it. Sizes that depend on the fabric's configuration (lanes) come last.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/atomic_pair.h"
#include "base/cache_line.h"
#include "layout/ring_slots.h"
#include "layout/words.h"

namespace ripstop::layout {

inline constexpr std::size_t kHeldCount = 64;         // Messages kept beyond their slot.
inline constexpr std::size_t kDirectCount = 8;        // Direct lanes that end at one agent.
inline constexpr std::size_t kLateCount = 64;         // Messages that one agent may be late with.
inline constexpr std::size_t kSenderCount = 16;       // Threads that publish for one agent.
inline constexpr std::size_t kPublisherRows = 64;     // Topics that one agent publishes.
inline constexpr std::size_t kSubscriptionRows = 32;  // Subscriptions with counters of their own.
inline constexpr std::size_t kHistogramBuckets = 1056;

// Written before the commit, so that recovery knows what a dead sender was about to commit: the
// holders of `root` then say whether it did. Written by one thread of the agent.
struct alignas(base::kCacheLineBytes) SenderIntent {
  std::atomic<uint64_t> root;        // Reference; 0: nothing under way.
  std::atomic<uint64_t> generation;  // All 64 bits of it.
  std::atomic<uint64_t> sequence;
  std::atomic<uint32_t> row;    // The publisher row.
  std::atomic<uint32_t> state;  // 0 free, 1 in use by a thread.
  // Twice the sends through direct lanes, and one more while one is under way: then `direct_root`, with
  // `sequence` and `row`, is what it sends.
  std::atomic<uint64_t> direct_count;
  std::atomic<uint64_t> direct_root;
  std::atomic<uint64_t> reserved[2];
};
static_assert(sizeof(SenderIntent) == 64);

// One topic that the agent publishes. Written by the agent, by one thread at a time.
struct alignas(base::kCacheLineBytes) PublisherRow {
  std::atomic<uint32_t> topic_id;
  std::atomic<uint32_t> state;  // 0 free, 1 open.
  std::atomic<uint64_t> sequence;         // Last committed.
  std::atomic<uint64_t> message_count;    // Sends that reached a receiver.
  std::atomic<uint64_t> byte_count;       // Their payload.
  std::atomic<uint64_t> delivery_count;   // Receivers reached, summed.
  std::atomic<uint64_t> full_count;       // Receivers not reached for want of room.
  std::atomic<uint64_t> none_count;       // Sends without a receiver.
  std::atomic<uint64_t> last_time_ns;     // Of the last send.
};
static_assert(sizeof(PublisherRow) == 64);

// One subscription. Written by the agent's receiving thread.
struct alignas(base::kCacheLineBytes) SubscriptionRow {
  std::atomic<uint32_t> topic_id;
  std::atomic<uint32_t> state;  // 0 free, 1 open.
  std::atomic<uint64_t> message_count;
  std::atomic<uint64_t> byte_count;
  std::atomic<uint64_t> lost_count;       // Gaps in the publishers' sequences.
  std::atomic<uint64_t> duplicate_count;  // Sequences seen before.
  std::atomic<uint64_t> last_time_ns;     // Of the last take.
  std::atomic<uint64_t> dropped_count;    // Evicted or refused for want of room; also added to by publishers.
  std::atomic<uint32_t> ring_id;          // 0: the inbox.
  uint32_t reserved0;
};
static_assert(sizeof(SubscriptionRow) == 64);

struct alignas(base::kCacheLineBytes) AgentCounters {
  // Written by the receiving thread.
  std::atomic<uint64_t> taken_count;
  std::atomic<uint64_t> released_count;
  std::atomic<uint64_t> orphan_count;    // Arrived for a subscription that has ended; released.
  std::atomic<uint64_t> corrupt_count;   // Words out of bounds; set aside.
  std::atomic<uint64_t> sleep_count;     // Times it went to sleep.
  std::atomic<uint64_t> last_take_ns;
  std::atomic<uint64_t> last_poll_ns;    // Last time it looked (each sleep and every 1,024th look).
  std::atomic<uint32_t> corrupt_source;  // Who is to blame for the last one: make_receiver(); 0: nothing says.
  uint32_t reserved0;
};
static_assert(sizeof(AgentCounters) == 64);

struct AgentBlockHeader {
  std::atomic<uint64_t> incarnation;  // Written by the supervisor before the agent goes live.
  uint32_t agent_id;
  uint32_t node_index;
  uint8_t reserved0[48];
};
static_assert(sizeof(AgentBlockHeader) == 64);

// The fixed part; the lanes' slots follow, critical first, each lane a whole number of lines.
struct AgentBlock {
  AgentBlockHeader header;
  RingFront front;
  RingBack back;
  AgentCounters counters;
  SenderIntent senders[kSenderCount];
  // As a slot of phase FULL; EMPTY is {0, 0}. Written by the agent, by helping pushers and by recovery.
  base::AtomicPair held[kHeldCount];
  // {DirectWord, source}. Free -> Open by a publisher, Open -> Ended by it or recovery, Ended -> Free by
  // the agent once it has nothing more of it; all by swap. Recovery of the agent frees any of them.
  base::AtomicPair direct[kDirectCount];
  // {reference, LateWord}. Written by the supervisor, by swap; the agent says `returned`, and removes what is
  // not open any more when it has given the late bit back.
  base::AtomicPair late[kLateCount];
  // Bit i: the message in chunk i of that direct lane's slab is in the agent's hands. Written by the agent.
  std::atomic<uint64_t> direct_in_hand[kDirectCount];
  PublisherRow publishers[kPublisherRows];
  SubscriptionRow subscriptions[kSubscriptionRows];
  // Publish-to-take latencies, log-linear. Written by the receiving thread.
  std::atomic<uint64_t> latency_ns[kHistogramBuckets];
};
static_assert(offsetof(AgentBlock, front) == 64);
static_assert(offsetof(AgentBlock, back) == 128);
static_assert(offsetof(AgentBlock, senders) == 256);
static_assert(offsetof(AgentBlock, held) == 1280);
static_assert(offsetof(AgentBlock, direct) == 2304);
static_assert(offsetof(AgentBlock, late) == 2432);
static_assert(offsetof(AgentBlock, direct_in_hand) == 3456);
static_assert(offsetof(AgentBlock, publishers) == 3520);
static_assert(offsetof(AgentBlock, subscriptions) == 7616);
static_assert(offsetof(AgentBlock, latency_ns) == 9664);
static_assert(sizeof(AgentBlock) == 18112);

}  // namespace ripstop::layout
