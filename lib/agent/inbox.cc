// A message kept for long would stop its ring from wrapping; when the oldest one in hand is half a ring
// behind, its descriptor moves into the held table: written there first, then the slot is emptied, so
// that a kill in between leaves both and the holder bit says they are one.
#include "agent/inbox.h"

#include <poll.h>

#include <algorithm>
#include <optional>

#include "agent/agent_core.h"
#include "agent/subscriber_core.h"
#include "base/counter.h"
#include "layout/histogram.h"
#include "memory/evict.h"
#include "memory/holders.h"
#include "memory/late.h"
#include "ring/space.h"

namespace ripstop::detail {

using base::count_up;
using memory::header_of;

Inbox::Inbox(AgentCore& agent, const control::FabricMap& map, layout::AgentBlock& block, uint64_t incarnation,
             Wait wait, const base::TscScale& clock)
    : agent_(agent), map_(map), block_(block), clock_(clock), waiting_(wait), sleeper_(block.front.doorbell), direct_(map.chunks(), block), patterns_(agent.view()) {
  lanes_.reserve(layout::kLaneCount);
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    lanes_.emplace_back(map.lane(block, lane), incarnation, block.back, lane, false, false);
  }
}

void Inbox::add(SubscriberCore& subscriber) {
  subscribers_.reserve(subscribers_.size() + 1);  // Where there is no memory it is in neither list.
  if (subscriber.ring == nullptr && layout::is_pattern_id(subscriber.topic_id)) patterns_.add(subscriber);
  subscribers_.push_back(&subscriber);
}

void Inbox::withdraw(SubscriberCore& subscriber) noexcept {
  if (unfiled_.in_hand != nullptr && subscriber_of(header_of(unfiled_.data).topic_id, unfiled_.in_hand->source) == &subscriber) {
    --pending_count_;
    release(*std::exchange(unfiled_, {}).in_hand);
  }
  pending_count_ -= subscriber.pending.size();
  for (const Delivered& delivered : subscriber.pending) (void)release(*delivered.in_hand);
  subscriber.pending.clear();
  if (subscriber.ring == nullptr || !agent_.usable()) return;
  for (const auto& in_hand : in_hand_pool_) {
    if (in_hand->source != subscriber.ring || in_hand->held) continue;
    if (memory::hold(map_.chunks(), block_, in_hand->slot) < 0) return;
    in_hand->held = true;
    (void)subscriber.ring->give_back(in_hand->position, in_hand->slot);
  }
}

void Inbox::remove(SubscriberCore& subscriber) {
  std::erase(subscribers_, &subscriber);
  if (subscriber.ring != nullptr) return remove_ring(*subscriber.ring);
  if (layout::is_pattern_id(subscriber.topic_id)) return patterns_.remove(subscriber);
  patterns_.get_back(subscriber.topic);
}

Source* Inbox::add_ring(uint32_t ring_id, bool shared) {
  const auto queue = map_.queue(ring_id);
  if (!queue) return nullptr;
  const std::lock_guard lock(rings_mutex_);
  rings_.push_back(std::make_unique<Source>(queue->ring, queue->incarnation, queue->block->back, 0, shared, true));
  return rings_.back().get();
}

void Inbox::remove_ring(Source& source) {
  for (const auto& in_hand : in_hand_pool_) {
    if (in_hand->source == &source) in_hand->source = nullptr;
  }
  const std::lock_guard lock(rings_mutex_);
  std::erase_if(rings_, [&](const auto& ring) { return ring.get() == &source; });
  next_ring_ = 0;
}

bool Inbox::grow_in_hand() noexcept {
  try {
    // Also for the day when all are given back.
    if (in_hand_free_.capacity() <= in_hand_pool_.size()) in_hand_free_.reserve(2 * in_hand_pool_.size() + 8);
    in_hand_pool_.push_back(std::make_unique<InHand>());
  } catch (const std::bad_alloc&) {
    return false;
  }
  in_hand_free_.push_back(in_hand_pool_.back().get());
  return true;
}

bool Inbox::has_mail() const noexcept {
  if (std::any_of(lanes_.begin(), lanes_.end(), [](const Source& lane) { return lane.has_mail(); })) return true;
  const std::lock_guard lock(rings_mutex_);
  return direct_.has_mail() || std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->has_mail(); });
}

uint64_t Inbox::fence_for_sleep() const noexcept {
  return !DirectInbox::ever(block_) || ring::heavy_fence() ? 0 : ring::kUnfencedSliceNs;
}

TakeOutcome Inbox::sleep(SubscriberCore* only, uint64_t timeout_ns, Delivered& delivered) {
  count_up(block_.counters.sleep_count, 1);
  if (event_fd_ >= 0) {  // fd()'s thread owns the doorbell.
    agent_.descriptor().clear();  // Else what woke us last would wake us again at once.
    const TakeOutcome outcome = take(only, delivered);
    if (outcome != TakeOutcome::Empty) return outcome;
    pollfd descriptor{event_fd_, POLLIN, 0};
    const uint64_t timeout_ms = timeout_ns == 0 ? 1000 : std::min<uint64_t>(1000, timeout_ns / 1'000'000 + 1);
    poll(&descriptor, 1, static_cast<int>(timeout_ms));
    return take(only, delivered);
  }
  sleeper_.arm();
  const uint64_t slice_ns = fence_for_sleep();
  const TakeOutcome outcome = take(only, delivered);
  const bool sliced = slice_ns != 0 && (timeout_ns == 0 || slice_ns < timeout_ns);
  if (outcome == TakeOutcome::Empty) sleeper_.wait(sliced ? slice_ns : timeout_ns);
  sleeper_.disarm();
  return outcome != TakeOutcome::Empty ? outcome : take(only, delivered);
}

// The slot or the entry that a message was in, after its bit is gone.
void Inbox::leave_place(InHand& in_hand) noexcept {
  const bool in_slot = !in_hand.held && in_hand.source != nullptr;
  if (in_slot && in_hand.source->give_back(in_hand.position, in_hand.slot)) return;
  // In the held table: we moved it there, a publisher that needed the slot did, or the supervisor.
  memory::unhold(block_, in_hand.reference, in_hand.bit);
}

ReleaseOutcome Inbox::release(InHand& in_hand) noexcept {
  ReleaseOutcome outcome = ReleaseOutcome::Gone;
  if (agent_.usable()) [[likely]] {
    const memory::Release released =
        memory::release_seen(map_.chunks(), *in_hand.header, in_hand.reference, in_hand.generation, in_hand.bit);
    if (released != memory::Release::Gone) [[likely]] outcome = ReleaseOutcome::Ok;
    else if (memory::give_late_back(map_.chunks(), block_, in_hand.reference, in_hand.bit)) outcome = ReleaseOutcome::Revoked;
    if (DirectSource* const direct = in_hand.direct; direct != nullptr) {
      direct->released(layout::chunk_index(layout::reference_chunk(in_hand.reference)));
      if (direct->has_ended()) [[unlikely]] refresh_direct();  // Its last one may drop it.
    } else {
      leave_place(in_hand);
      agent_.senders().warm().note(map_.chunks(), layout::reference_chunk(in_hand.reference));
    }
    count_up(block_.counters.released_count, 1);
  }
  in_hand.source = nullptr;
  in_hand_free_.push_back(&in_hand);
  if (!agent_.usable() && in_hand_count() == 0) agent_.last_message_gone();
  return outcome;
}

MessageInfo Inbox::info(const InHand& in_hand, const std::byte* data) const noexcept {
  const layout::ChunkHeader& header = header_of(data);
  MessageInfo info;
  info.sequence = header.sequence;
  info.publish_time_ns = header.publish_time_ns;
  info.deadline_ns = header.deadline_ns;
  info.correlation = header.correlation;
  std::copy(std::begin(header.trace_id), std::end(header.trace_id), info.trace.trace_id.begin());
  std::copy(std::begin(header.span_id), std::end(header.span_id), info.trace.span_id.begin());
  info.trace.sampled = (header.flags & layout::kFlagTraceSampled) != 0;
  info.topic_id = header.topic_id;
  info.source_id = layout::receiver_agent(header.source);
  info.schema_id = header.schema_id;
  info.attempt = static_cast<uint8_t>(in_hand.attempt);
  info.priority = static_cast<Priority>(std::min<unsigned>(header.priority, layout::kLaneCount - 1));
  info.content_type = static_cast<ContentType>(header.content_type);
  return info;
}

bool Inbox::segments(const std::byte* data, std::vector<std::span<const std::byte>>& segments) const {
  const layout::ChunkHeader* header = &header_of(data);
  const memory::ChunkMap& chunks = map_.chunks();
  layout::Reference next = (header->flags & layout::kFlagLinked) != 0 ? header->link : 0;
  for (uint32_t steps = 0; next != 0; ++steps) {
    layout::ChunkHeader* link = steps < memory::kLinksMax ? chunks.find(layout::reference_chunk(next)) : nullptr;
    if (link == nullptr || !layout::same_generation(next, memory::read_holders(*link).generation)) {
      // Branches stand at the end and may be gone; a segment that is missing is noticed by its reader.
      return steps < memory::kLinksMax && link != nullptr;
    }
    if (link->role == layout::ChunkRole::Branch) return true;
    if (link->role == layout::ChunkRole::Continuation) {
      const uint32_t payload_bytes = link->payload_bytes;
      if (payload_bytes > chunks.payload_bytes(chunks.slab_of(layout::reference_chunk(next)).class_index)) return false;
      segments.emplace_back(memory::payload(*link), payload_bytes);
    }
    next = link->link;
  }
  return true;
}

}  // namespace ripstop::detail
