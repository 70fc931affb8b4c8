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
#include "ring/space.h"

namespace ripstop::detail {

namespace {

// Only the receiving thread writes these; others read them for a person.
void count_up(std::atomic<uint64_t>& counter, uint64_t amount) noexcept {
  // Relaxed: a counter with one writer.
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

// A receiver that found something so many times in a row is behind: what it takes next is there already.
constexpr uint32_t kBusyRun = 3;
// About as many messages as are taken while a line comes from another core.
constexpr uint64_t kFetchedAhead = 2;

// A receiver that keeps up with a stream meets its publisher on every line. It looks less often then, so
// that a few messages gather: whoever waited for an answer before sending is not in a stream.
constexpr uint32_t kQuickLooks = 4;    // Found after so few looks in vain, ...
constexpr uint32_t kQuickRun = 32;     // ... so many times in a row: a stream.
constexpr uint32_t kPausesInStream = 6;

const layout::ChunkHeader& header_of(const std::byte* data) noexcept {
  return *reinterpret_cast<const layout::ChunkHeader*>(data - layout::kChunkHeaderBytes);
}

}  // namespace

Inbox::Inbox(AgentCore& agent, const control::FabricMap& map, layout::AgentBlock& block, uint64_t incarnation,
             Wait wait, const base::TscScale& clock)
    : agent_(agent), map_(map), block_(block), clock_(clock), waiting_(wait), sleeper_(block.front.doorbell), direct_(map.chunks(), block) {
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
  return direct_.has_mail() || std::any_of(rings_.begin(), rings_.end(), [](const auto& ring) { return ring->has_mail(); });
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

// Fetches a message some way behind the one at `position`, if it is there.
void Inbox::prefetch_behind(const Source& source) const noexcept {
  const layout::Reference reference = source.peek(kFetchedAhead);
  const layout::ChunkHeader* header = reference == 0 ? nullptr : map_.chunks().find(layout::reference_chunk(reference));
  if (header == nullptr) return;
  base::prefetch_for_write(header);
  base::prefetch_for_read(reinterpret_cast<const std::byte*>(header) + layout::kChunkHeaderBytes);
}

TakeOutcome Inbox::open(Source& source, uint64_t position, const ring::SlotView& slot, Delivered& delivered) {
  const memory::ChunkMap& chunks = map_.chunks();
  const layout::SlotState state = layout::unpack(slot.state);
  layout::ChunkHeader* const held = chunks.find(layout::reference_chunk(slot.low));
  if (held == nullptr) return set_aside(source, position, slot, true);
  if (busy_run_ >= kBusyRun) prefetch_behind(source);
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
  in_hand.direct = 0;
  delivered.in_hand = &in_hand;
  delivered.data = memory::payload(*root);
  delivered.payload_bytes = payload_bytes;
  return TakeOutcome::Ok;
}

TakeOutcome Inbox::take_slot(Source& source, Delivered& delivered, bool& finished) {
  uint64_t position = 0;
  ring::SlotView slot{0, 0};
  finished = false;
  switch (source.next(position, slot, agent_.id())) {
    case Source::Look::Nothing:
      return TakeOutcome::Empty;
    case Source::Look::InTheWay:
      if (!make_way(source)) return TakeOutcome::HeldFull;
      finished = true;
      return TakeOutcome::Empty;
    case Source::Look::Found:
      break;
  }
  const TakeOutcome outcome = open(source, position, slot, delivered);
  finished = outcome == TakeOutcome::Empty;  // Finished before; each round empties one.
  return outcome;
}

TakeOutcome Inbox::take_from(Source& source, Delivered& delivered) {
  for (bool finished = true; finished;) {
    const TakeOutcome outcome = take_slot(source, delivered, finished);
    if (outcome != TakeOutcome::Empty) return outcome;
  }
  return TakeOutcome::Empty;
}

void Inbox::refresh_direct() noexcept {
  const std::lock_guard lock(rings_mutex_);
  const uint32_t corrupt_count = direct_.refresh();
  if (corrupt_count != 0) count_up(block_.counters.corrupt_count, corrupt_count);
}

TakeOutcome Inbox::open_direct(DirectSource& direct, const DirectSource::Found& found, Delivered& delivered) {
  layout::ChunkHeader& header = *found.header;
  // The lines come together; the first one for writing, because the release swaps it.
  base::prefetch_for_write(&header);
  std::byte* const payload = memory::payload(header);
  base::prefetch_for_read(payload);
  base::prefetch_for_read(payload + base::kCacheLineBytes);
  const layout::Reference reference = layout::make_reference(direct.chunk_number(found), found.generation);
  const uint32_t payload_bytes = header.payload_bytes;
  direct.taken(found);
  if (busy_run_ >= kBusyRun) direct.prefetch();
  if (payload_bytes > direct.capacity_bytes()) [[unlikely]] {
    // Relaxed: evidence for a person.
    block_.counters.corrupt_source.store(layout::receiver_agent(header.source), std::memory_order_relaxed);
    count_up(block_.counters.corrupt_count, 1);
    (void)memory::release(map_.chunks(), reference, direct.bit());
    return TakeOutcome::Corrupt;
  }
  InHand& in_hand = new_in_hand();
  in_hand.reference = reference;
  in_hand.generation = found.generation;
  in_hand.bit = direct.bit();
  in_hand.attempt = 0;
  in_hand.source = nullptr;
  in_hand.held = false;
  in_hand.direct = static_cast<uint8_t>(direct_.index_of(direct) + 1);
  delivered.in_hand = &in_hand;
  delivered.data = payload;
  delivered.payload_bytes = payload_bytes;
  return TakeOutcome::Ok;
}

TakeOutcome Inbox::take_merged(std::size_t lane, Delivered& delivered) {
  // A busy direct lane leaves the others their turn.
  constexpr uint32_t kDirectRun = 16;
  Source& source = lanes_[lane];
  bool looked_again = false;
  for (bool finished = true; finished;) {
    DirectSource::Found found;
    DirectSource* direct = direct_.find(lane, found);
    const layout::Reference first = source.peek();
    if (first != 0 && !looked_again && direct_.changed()) [[unlikely]] {  // As in take_lanes().
      refresh_direct();
      looked_again = true;
      finished = true;
      continue;
    }
    if (direct != nullptr) {
      const bool in_turn = direct->in_order(found) ? direct_run_ < kDirectRun : direct->passed >= source.slot_count();
      if (first == 0 || in_turn) {
        ++direct_run_;
        return open_direct(*direct, found, delivered);
      }
    }
    direct_run_ = 0;
    if (first == 0) return TakeOutcome::Empty;
    // What its publisher sent before it through a direct lane is visible by now, and goes first.
    if (const layout::ChunkHeader* header = map_.chunks().find(layout::reference_chunk(first))) {
      DirectSource* earlier = header->role == layout::ChunkRole::Root
                                  ? direct_.from(lane, header->source, header->publisher_row)
                                  : direct_.find(lane, found);
      if (earlier != nullptr && earlier->look(found) &&
          (header->role != layout::ChunkRole::Root || found.sequence < header->sequence)) {
        return open_direct(*earlier, found, delivered);
      }
    }
    const uint64_t head = source.head();
    const TakeOutcome outcome = take_slot(source, delivered, finished);
    // A round that only moved a message in hand out of the way has passed nothing: counted, it would let
    // the late one go before the last of those that were sent before it.
    if (direct != nullptr && source.head() != head) ++direct->passed;
    if (outcome == TakeOutcome::Ok) {
      const layout::ChunkHeader& root = header_of(delivered.data);
      direct_.taken_elsewhere(root.source, root.publisher_row, root.sequence);
    }
    if (outcome != TakeOutcome::Empty) return outcome;
  }
  return TakeOutcome::Empty;
}

TakeOutcome Inbox::take_lanes(Delivered& delivered) {
  if (direct_.changed()) [[unlikely]] refresh_direct();
  if (empty_run_ == 1 && quick_run_ >= kQuickRun) {
    for (uint32_t i = 0; i < kPausesInStream; ++i) base::spin_pause();
  }
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    if (!direct_.serves(lane) && lanes_[lane].peek() == 0) continue;
    // A lane that was opened before this message was pushed is visible by now, and so is what it holds.
    if (direct_.changed()) [[unlikely]] refresh_direct();
    const bool merged = direct_.serves(lane);
    const TakeOutcome outcome = merged ? take_merged(lane, delivered) : take_from(lanes_[lane], delivered);
    if (outcome == TakeOutcome::Empty) continue;
    quick_run_ = empty_run_ <= kQuickLooks ? quick_run_ + 1 : 0;
    empty_run_ = 0;
    ++busy_run_;
    return outcome;
  }
  busy_run_ = 0;
  ++empty_run_;
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

SubscriberCore* Inbox::subscriber_of(uint32_t topic_id, const Source* source) const noexcept {
  for (SubscriberCore* subscriber : subscribers_) {
    const bool theirs = source != nullptr && source->own()
                            ? subscriber->ring == source
                            : subscriber->ring == nullptr && subscriber->topic_id == topic_id;
    if (theirs) return subscriber;
  }
  return nullptr;
}

void Inbox::count_take(SubscriberCore& subscriber, const layout::ChunkHeader& header) noexcept {
  // Reading the clock is a good part of what a take costs. Back to back it is read every fourth time.
  if (busy_run_ <= kBusyRun || busy_run_ % 4 == 0) last_take_ns_ = base::scaled_now_ns(clock_);
  const uint64_t now = last_take_ns_;
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
    SubscriberCore* subscriber = subscriber_of(header.topic_id, delivered.in_hand->source);
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

void Inbox::fence_for_sleep() const noexcept {
  if (DirectInbox::ever(block_)) (void)ring::heavy_fence();  // No lane was opened where there is none.
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
  fence_for_sleep();
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
    if (in_hand.direct != 0) {
      if (direct_.has_ended(in_hand.direct - 1u)) [[unlikely]] refresh_direct();
    } else if (!in_slot || !in_hand.source->give_back(in_hand.position, in_hand.slot)) {
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
