// A hash over the sizes, offsets and constants of everything in shared memory. Two builds that
// disagree about a byte of it disagree about the hash, and attach refuses.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layout/agent_block.h"
#include "layout/chunk_header.h"
#include "layout/control_segment.h"
#include "layout/histogram.h"
#include "layout/node_segment.h"
#include "layout/ring_slots.h"

namespace ripstop::layout {

constexpr uint64_t layout_hash() noexcept {
  const uint64_t facts[] = {
      kAbiVersion, kControlMagic, kNodeMagic, kChunkBits, kGenerationBits, kSlabIndexBits, kSlabBits,
      kTurnBits, kOwnerBits, kPublisherBit, kClosingBit, kLinkBit, kDeliveryCount, kLateBitCount, kHeldCount, kLateCount,
      kSenderCount, kPublisherRows, kSubscriptionRows, kHistogramBuckets, kHistogramSubBits,
      kEpochShards, kClassCountMax, kNameFieldBytes, kTopicFieldBytes, kRouteUnitBytes, kLaneCount,
      sizeof(ChunkHeader), offsetof(ChunkHeader, sequence), offsetof(ChunkHeader, payload_bytes),
      offsetof(ChunkHeader, content_type), offsetof(ChunkHeader, receivers), offsetof(ChunkHeader, link),
      offsetof(ChunkHeader, root), offsetof(ChunkHeader, correlation), offsetof(ChunkHeader, trace_id),
      sizeof(ReceiverNames), sizeof(RingFront), offsetof(RingFront, doorbell), sizeof(RingBack),
      offsetof(RingBack, space_word), offsetof(RingBack, taken_mark), sizeof(RingBlock), sizeof(ChannelHeader),
      offsetof(ChannelHeader, head), offsetof(ChannelHeader, sending), offsetof(ChannelHeader, releasing), sizeof(ChannelSlot), sizeof(SenderIntent), sizeof(PublisherRow),
      sizeof(SubscriptionRow), sizeof(AgentCounters), sizeof(AgentBlock), offsetof(AgentBlock, held), offsetof(AgentBlock, late),
      offsetof(AgentBlock, publishers), offsetof(AgentBlock, subscriptions),
      offsetof(AgentBlock, latency_ns), sizeof(NodeHeader), sizeof(Superblock),
      offsetof(Superblock, classes), offsetof(Superblock, nodes),
      offsetof(Superblock, supervisor_epoch), offsetof(Superblock, watch), offsetof(Superblock, route_epoch), sizeof(AgentEntry),
      sizeof(TopicEntry), sizeof(RouteHeader), sizeof(RouteReceiver), sizeof(SubscriptionEntry),
      sizeof(PatternNode), sizeof(PatternRoute), sizeof(PatternText), kPatternBranchBits, kPatternFlag,
      offsetof(Superblock, pattern_root),
      offsetof(Superblock, letters_offset), offsetof(Superblock, letters_released), offsetof(Superblock, revoked_messages), kLetterEndCount,
      sizeof(LetterEntry), offsetof(LetterEntry, topic_id), offsetof(LetterEntry, name), offsetof(AgentEntry, ended),
      offsetof(AgentEntry, end_time_ns), offsetof(RingEntry, place), offsetof(AgentEntry, ticket), offsetof(SubscriptionEntry, ticket), offsetof(RingEntry, owner_ticket),
      sizeof(RingEntry), sizeof(SlabEntry), sizeof(NodeGeometry), offsetof(NodeGeometry, lost_page_count), sizeof(ClassGeometry)};
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a, a word at a time.
  for (const uint64_t fact : facts) {
    hash ^= fact;
    hash *= 0x100000001b3u;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace ripstop::layout
