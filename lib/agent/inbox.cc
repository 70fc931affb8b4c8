// A message kept for long would stop its ring from wrapping; when the oldest one in hand is half a ring
// behind, its descriptor moves into the held table: written there first, then the slot is emptied, so
// that a kill in between leaves both and the holder bit says they are one.
#include "agent/inbox.h"

#include <poll.h>

#include <algorithm>
#include <optional>

#include "agent/agent_core.h"
#include "agent/subscriber_core.h"
#include "layout/histogram.h"
#include "memory/evict.h"
#include "memory/holders.h"

namespace ripstop::detail {

namespace {

// Only the receiving thread writes these; others read them for a person.
void count_up(std::atomic<uint64_t>& counter, uint64_t amount) noexcept {
  // Relaxed: a counter with one writer.
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

const layout::ChunkHeader& header_of(const std::byte* data) noexcept {
  return *reinterpret_cast<const layout::ChunkHeader*>(data - layout::kChunkHeaderBytes);
}

}  // namespace

Inbox::Inbox(AgentCore& agent, const control::FabricMap& map, layout::AgentBlock& block, uint64_t incarnation,
             Wait wait, const base::TscScale& clock)
    : agent_(agent), map_(map), block_(block), clock_(clock), waiting_(wait), sleeper_(block.front.doorbell) {
  lanes_.reserve(layout::kLaneCount);
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    lanes_.emplace_back(map.lane(block, lane), incarnation, block.back, lane, false, false);
  }
}

void Inbox::add(SubscriberCore& subscriber) { subscribers_.push_back(&subscriber); }

void Inbox::withdraw(SubscriberCore& subscriber) noexcept {
  pending_count_ -= subscriber.pending.size();
  for (const Delivered& delivered : subscriber.pending) release(*delivered.in_hand);
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
  if (subscriber.ring != nullptr) remove_ring(*subscriber.ring);
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

InHand& Inbox::new_in_hand() {
  if (in_hand_free_.empty()) {
    in_hand_pool_.push_back(std::make_unique<InHand>());
    in_hand_free_.push_back(in_hand_pool_.back().get());
  }
  InHand& in_hand = *in_hand_free_.back();
  in_hand_free_.pop_back();
  return in_hand;
}

bool Inbox::has_mail() const noexcept {
  if (std::any_of(lanes_.begin(), lanes_.end(), [](const Source& lane) { return lane.has_mail(); })) return true;
  const std::lock_guard lock(rings_mutex_);
  return std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->has_mail(); });
}

// A slot without a message for us: its bit is cleared, if it is there, and the slot is given back.
TakeOutcome Inbox::set_aside(Source& source, uint64_t position, const ring::SlotView& slot, bool corrupt) noexcept {
  (void)memory::release(map_.chunks(), slot.low, layout::unpack(slot.state).bit);
  (void)source.give_back(position, slot);
  if (!corrupt) return TakeOutcome::Empty;
  count_up(block_.counters.corrupt_count, 1);
  return TakeOutcome::Corrupt;
}

// Moves the oldest message in hand out of a ring that it is about to stop. False: the held table is full.
bool Inbox::make_way(Source& source) noexcept {
  const uint64_t oldest = source.oldest();
  for (const auto& in_hand : in_hand_pool_) {
    if (in_hand->source != &source || in_hand->position != oldest || in_hand->held) continue;
    if (memory::hold(map_.chunks(), block_, in_hand->slot) < 0) return false;
    in_hand->held = true;
    (void)source.give_back(oldest, in_hand->slot);
    return true;
  }
  source.look_behind();  // A helper emptied it.
  return true;
}

TakeOutcome Inbox::open(Source& source, uint64_t position, const ring::SlotView& slot, Delivered& delivered) {
  const memory::ChunkMap& chunks = map_.chunks();
  const layout::SlotState state = layout::unpack(slot.state);
  layout::ChunkHeader* const held = chunks.find(layout::reference_chunk(slot.low));
  if (held == nullptr) return set_aside(source, position, slot, true);
  // The lines come together; the first one for writing, because the release swaps it.
  base::prefetch_for_write(held);
  const std::byte* const payload = memory::payload(*held);
  base::prefetch_for_read(payload);
  base::prefetch_for_read(payload + base::kCacheLineBytes);
  const memory::Holders holders = memory::read_holders(*held);
  if (!layout::same_generation(slot.low, holders.generation) || ((holders.bits >> state.bit) & 1) == 0) {
    return set_aside(source, position, slot, false);  // Finished before: nothing to hand over.
  }
  layout::ChunkHeader* root = held;
  layout::ChunkId chunk = layout::reference_chunk(slot.low);
  for (int depth = 0; root->role == layout::ChunkRole::Branch; ++depth) {
    const layout::Reference up = root->root;
    chunk = layout::reference_chunk(up);
    root = depth < memory::kBranchDepthMax ? chunks.find(chunk) : nullptr;
    if (root == nullptr || !layout::same_generation(up, memory::read_holders(*root).generation)) {
      return set_aside(source, position, slot, true);
    }
  }
  const uint32_t payload_bytes = root->payload_bytes;
  if (payload_bytes > chunks.payload_bytes(chunks.slab_of(chunk).class_index)) {
    // Relaxed: evidence for a person.
    block_.counters.corrupt_source.store(layout::receiver_agent(root->source), std::memory_order_relaxed);
    return set_aside(source, position, slot, true);
  }
  InHand& in_hand = new_in_hand();
  // Field by field: a copy of the whole would wait for its own narrow stores.
  in_hand.reference = slot.low;
  in_hand.generation = holders.generation;
  in_hand.bit = state.bit;
  in_hand.attempt = state.attempt;
  in_hand.source = &source;
  in_hand.position = position;
  in_hand.slot.low = slot.low;
  in_hand.slot.state = slot.state;
  in_hand.held = false;
  delivered.in_hand = &in_hand;
  delivered.data = memory::payload(*root);
  delivered.payload_bytes = payload_bytes;
  return TakeOutcome::Ok;
}

TakeOutcome Inbox::take_from(Source& source, Delivered& delivered) {
  for (;;) {
    uint64_t position = 0;
    ring::SlotView slot{0, 0};
    switch (source.next(position, slot, agent_.id())) {
      case Source::Look::Nothing:
        return TakeOutcome::Empty;
      case Source::Look::InTheWay:
        if (!make_way(source)) return TakeOutcome::HeldFull;
        break;
      case Source::Look::Found: {
        const TakeOutcome outcome = open(source, position, slot, delivered);
        if (outcome != TakeOutcome::Empty) return outcome;
        break;  // The slot was finished before; each round empties one.
      }
    }
  }
}

TakeOutcome Inbox::take_lanes(Delivered& delivered) {
  for (Source& lane : lanes_) {
    const TakeOutcome outcome = take_from(lane, delivered);
    if (outcome != TakeOutcome::Empty) return outcome;
  }
  return TakeOutcome::Empty;
}

// They have no priority among them: each in its turn.
TakeOutcome Inbox::take_rings(Delivered& delivered) {
  for (std::size_t i = 0; i < rings_.size(); ++i) {
    Source& source = *rings_[next_ring_];
    next_ring_ = next_ring_ + 1 < rings_.size() ? next_ring_ + 1 : 0;
    const TakeOutcome outcome = take_from(source, delivered);
    if (outcome != TakeOutcome::Empty) return outcome;
  }
  return TakeOutcome::Empty;
}

SubscriberCore* Inbox::subscriber_of(uint32_t topic_id, const Source& source) const noexcept {
  for (SubscriberCore* subscriber : subscribers_) {
    const bool theirs = source.own() ? subscriber->ring == &source
                                     : subscriber->ring == nullptr && subscriber->topic_id == topic_id;
    if (theirs) return subscriber;
  }
  return nullptr;
}

void Inbox::count_take(SubscriberCore& subscriber, const layout::ChunkHeader& header) noexcept {
  const uint64_t now = base::scaled_now_ns(clock_);
  const uint64_t sent_ns = header.publish_time_ns;
  count_up(block_.counters.taken_count, 1);
  // Relaxed: evidence for whoever looks.
  block_.counters.last_take_ns.store(now, std::memory_order_relaxed);
  count_up(block_.latency_ns[layout::histogram_bucket(now > sent_ns ? now - sent_ns : 0)], 1);
  subscriber.count(header, now);
}

TakeOutcome Inbox::take_pending(SubscriberCore* only, Delivered& delivered) noexcept {
  for (SubscriberCore* subscriber : subscribers_) {
    if ((only != nullptr && subscriber != only) || subscriber->pending.empty()) continue;
    delivered = subscriber->pending.front();
    subscriber->pending.pop_front();
    --pending_count_;
    return TakeOutcome::Ok;
  }
  return TakeOutcome::Empty;
}

TakeOutcome Inbox::take(SubscriberCore* only, Delivered& delivered) {
  if (pending_count_ != 0 && take_pending(only, delivered) == TakeOutcome::Ok) return TakeOutcome::Ok;
  Source* const ring = only != nullptr ? only->ring : nullptr;
  for (;;) {
    // A subscription of the inbox leaves the rings of others alone: what they hold is their policy's.
    TakeOutcome outcome = ring != nullptr ? take_from(*ring, delivered) : take_lanes(delivered);
    if (outcome == TakeOutcome::Empty && only == nullptr) outcome = take_rings(delivered);
    if (outcome != TakeOutcome::Ok) return outcome;
    const layout::ChunkHeader& header = header_of(delivered.data);
    SubscriberCore* subscriber = subscriber_of(header.topic_id, *delivered.in_hand->source);
    if (subscriber == nullptr) {
      count_up(block_.counters.orphan_count, 1);
      release(*delivered.in_hand);
      continue;  // Its subscription has ended.
    }
    count_take(*subscriber, header);
    if (only == nullptr || subscriber == only) return TakeOutcome::Ok;
    subscriber->pending.push_back(delivered);
    ++pending_count_;
  }
}

Message<Bytes> Inbox::message_of(Inbox& inbox, const Delivered& delivered) noexcept {
  Message<Bytes> message;
  message.inbox_ = &inbox;
  message.in_hand_ = delivered.in_hand;
  message.data_ = delivered.data;
  message.payload_bytes_ = delivered.payload_bytes;
  return message;
}

Take<Message<Bytes>> Inbox::take(SubscriberCore* only) {
  Delivered delivered;
  const TakeOutcome outcome = take(only, delivered);
  if (outcome != TakeOutcome::Ok) return outcome;
  return message_of(*this, delivered);
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
  const TakeOutcome outcome = take(only, delivered);
  if (outcome == TakeOutcome::Empty) sleeper_.wait(timeout_ns);
  sleeper_.disarm();
  return outcome != TakeOutcome::Empty ? outcome : take(only, delivered);
}

Take<Message<Bytes>> Inbox::take(SubscriberCore* only, uint64_t timeout_ns) {
  Delivered delivered;
  TakeOutcome outcome = TakeOutcome::Empty;
  waiting_.wait(
      timeout_ns, [&] { return (outcome = take(only, delivered)) != TakeOutcome::Empty; },
      [&] { return base::scaled_now_ns(clock_); },
      [&](uint64_t sleep_ns) { return (outcome = sleep(only, sleep_ns, delivered)) != TakeOutcome::Empty; });
  if (outcome != TakeOutcome::Ok) return outcome;
  return message_of(*this, delivered);
}

void Inbox::release(InHand& in_hand) noexcept {
  if (agent_.usable()) [[likely]] {
    (void)memory::release_seen(map_.chunks(), in_hand.reference, in_hand.generation, in_hand.bit);
    const bool in_slot = !in_hand.held && in_hand.source != nullptr;
    if (!in_slot || !in_hand.source->give_back(in_hand.position, in_hand.slot)) {
      // In the held table: we moved it there, a publisher that needed the slot did, or the supervisor.
      memory::unhold(block_, in_hand.reference, in_hand.bit);
    }
    count_up(block_.counters.released_count, 1);
  }
  in_hand.source = nullptr;
  in_hand_free_.push_back(&in_hand);
  if (!agent_.usable() && in_hand_count() == 0) agent_.last_message_gone();
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
