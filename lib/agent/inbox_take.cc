// How an inbox finds its next message: lanes by priority, each merged with the direct lanes of that
// priority, then the rings of its own.
#include <mutex>
#include <new>
#include <utility>

#include "agent/agent_core.h"
#include "agent/inbox.h"
#include "agent/subscriber_core.h"
#include "base/cache_line.h"
#include "base/counter.h"
#include "memory/evict.h"
#include "memory/holders.h"
#include "memory/late.h"

namespace ripstop {

inline Message<Bytes>::Message(detail::Inbox& inbox, const detail::Delivered& delivered) noexcept
    : inbox_(&inbox), in_hand_(delivered.in_hand), data_(delivered.data), payload_bytes_(delivered.payload_bytes) {}

}  // namespace ripstop

namespace ripstop::detail {

using base::count_up;
using memory::header_of;

namespace {

// A receiver that found something so many times in a row is behind: what it takes next is there already.
// About as many messages as are taken while a line comes from another core.
constexpr uint32_t kFetchedAhead = 3;

// A receiver that keeps up with a stream meets its publisher on every line. It looks less often then, so
// that a few messages gather: whoever waited for an answer before sending is not in a stream.
constexpr uint32_t kQuickLooks = 4;    // Found after so few looks in vain, ...
constexpr uint32_t kQuickRun = 32;     // ... so many times in a row: a stream.
constexpr uint32_t kPausesInStream = 6;

// A busy direct lane leaves the others their turn.
constexpr uint32_t kDirectRun = 16;

// Looks at a source for one message. Each empties a slot or moves one out of the way, so that more than
// some laps of it are somebody's who writes into slots as we empty them.
uint32_t looks_max(const Source& source) noexcept { return 4 * source.slot_count() + 64; }

}  // namespace

// What we hold of a message that nobody gets: our bit or, where we were so late between the slot and the user
// that it went on without us, what we hold instead.
void Inbox::let_go(layout::Reference reference, uint32_t bit) noexcept {
  if (memory::release(map_.chunks(), reference, bit) == memory::Release::Gone) {
    (void)memory::give_late_back(map_.chunks(), block_, reference, bit);
  }
}

// A slot without a message for us: its bit is cleared, if it is there, and the slot is given back.
void Inbox::set_aside(Source& source, uint64_t position, const ring::SlotView& slot) noexcept {
  let_go(slot.low, layout::unpack(slot.state).bit);
  (void)source.give_back(position, slot);
}

// Who owns a chunk's slab, as a receiver word; 0: nobody does. Its publisher, while that has it.
uint32_t Inbox::owner_of(layout::ChunkId chunk) const noexcept {
  // Relaxed: evidence for a person.
  const uint64_t word = map_.chunks().slab_owner(layout::chunk_node(chunk), layout::chunk_slab(chunk)).load(std::memory_order_relaxed);
  const uint32_t agent = layout::slab_owner_agent(word);
  return agent == 0 ? 0 : layout::make_receiver(agent, layout::slab_owner_incarnation(word));
}

TakeOutcome Inbox::set_aside_corrupt(Source& source, uint64_t position, const ring::SlotView& slot, uint32_t offender) noexcept {
  set_aside(source, position, slot);
  count_corrupt(offender);
  return TakeOutcome::Corrupt;
}

// `offender`: a receiver word; 0 when nothing says.
void Inbox::count_corrupt(uint32_t offender) noexcept {
  // Relaxed: evidence for a person. Before the count, which the supervisor looks at.
  block_.counters.corrupt_source.store(offender, std::memory_order_relaxed);
  count_up(block_.counters.corrupt_count, 1);
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

// The message that a slot's reference is, or is a branch of; null when the branches lead nowhere.
layout::ChunkHeader* Inbox::find_root(layout::Reference reference, layout::ChunkId& chunk) const noexcept {
  chunk = layout::reference_chunk(reference);
  layout::ChunkHeader* root = map_.chunks().find(chunk);
  for (int depth = 0; root != nullptr && root->role == layout::ChunkRole::Branch; ++depth) {
    const layout::Reference up = root->root;
    chunk = layout::reference_chunk(up);
    root = depth < memory::kBranchDepthMax ? map_.chunks().find(chunk) : nullptr;
    if (root != nullptr && !layout::same_generation(up, memory::read_holders(*root).generation)) root = nullptr;
  }
  return root;
}

TakeOutcome Inbox::open(Source& source, uint64_t position, const ring::SlotView& slot, Delivered& delivered) {
  const memory::ChunkMap& chunks = map_.chunks();
  const layout::SlotState state = layout::unpack(slot.state);
  layout::ChunkHeader* const held = chunks.find(layout::reference_chunk(slot.low));
  if (held == nullptr) return set_aside_corrupt(source, position, slot, 0);
  if (busy_run_ >= kBusyRun) prefetch_behind(source);
  // The lines come together; the first one for writing, because the release swaps it.
  base::prefetch_for_write(held);
  const std::byte* const payload = memory::payload(*held);
  base::prefetch_for_read(payload);
  base::prefetch_for_read(payload + base::kCacheLineBytes);
  const memory::Holders holders = memory::read_holders(*held);
  if (!layout::same_generation(slot.low, holders.generation) || ((holders.bits >> state.bit) & 1) == 0) {
    set_aside(source, position, slot);  // Finished before: nothing to hand over.
    return TakeOutcome::Empty;
  }
  layout::ChunkId chunk = 0;
  layout::ChunkHeader* const root = find_root(slot.low, chunk);
  if (root == nullptr) return set_aside_corrupt(source, position, slot, owner_of(layout::reference_chunk(slot.low)));
  const uint32_t payload_bytes = root->payload_bytes;
  const memory::SlabPlace& place = chunks.slab_of(chunk);
  // Who answers loans this chunk next (memory/slab_heap.cc).
  if (place.chunk_count == 1) base::prefetch_for_write(&chunks.slab_owner(layout::chunk_node(chunk), layout::chunk_slab(chunk)));
  if (payload_bytes > chunks.payload_bytes(place.class_index)) {
    const uint32_t owner = owner_of(chunk);  // A chunk with a slab to itself is nobody's under way: then its header's word.
    return set_aside_corrupt(source, position, slot, owner != 0 ? owner : root->source);
  }
  InHand& in_hand = new_in_hand();
  // Field by field: a copy of the whole would wait for its own narrow stores.
  in_hand.header = held;
  in_hand.reference = slot.low;
  in_hand.generation = holders.generation;
  in_hand.bit = state.bit;
  in_hand.attempt = state.attempt;
  in_hand.source = &source;
  in_hand.position = position;
  in_hand.slot.low = slot.low;
  in_hand.slot.state = slot.state;
  in_hand.held = false;
  in_hand.direct = nullptr;
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
  for (uint32_t looks = looks_max(source); looks > 0; --looks) {
    bool finished = false;
    const TakeOutcome outcome = take_slot(source, delivered, finished);
    if (!finished) return outcome;
  }
  count_corrupt(0);
  return TakeOutcome::Corrupt;
}

SubscriberCore* Inbox::subscriber_of(uint32_t topic_id, const Source* source) noexcept {
  for (SubscriberCore* subscriber : subscribers_) {
    const bool theirs = source != nullptr && source->own()
                            ? subscriber->ring == source
                            : subscriber->ring == nullptr && subscriber->topic_id == topic_id;
    if (theirs) return subscriber;
  }
  return source != nullptr && source->own() ? nullptr : patterns_.find(topic_id);
}

// Reading the clock is a good part of what a take costs, so a fast stream is sampled: back to back every
// fourth time, and else not for a message that was sent within kSameMomentNs of the last reading. That one
// was taken in the same moment, or a moment later; a few in a row at most go without a reading.
[[gnu::always_inline]] inline bool Inbox::reads_clock(uint64_t sent_ns) noexcept {
  const bool same_moment = sent_ns - last_take_ns_ < kSameMomentNs;  // What was sent before wraps: not the same.
  const bool back_to_back = busy_run_ > kBusyRun && busy_run_ % 4 != 0;
  if ((same_moment || back_to_back) && ++unsampled_count_ < kUnsampledMax) return false;
  unsampled_count_ = 0;
  return true;
}

[[gnu::always_inline]] inline void Inbox::count_take(SubscriberCore& subscriber, const layout::ChunkHeader& header) noexcept {
  const uint64_t sent_ns = header.publish_time_ns;
  count_up(block_.counters.taken_count, 1);
  if (reads_clock(sent_ns)) {
    const uint64_t now = base::scaled_now_ns(clock_);
    last_take_ns_ = now;
    // Relaxed: evidence for whoever looks.
    block_.counters.last_take_ns.store(now, std::memory_order_relaxed);
    count_up(block_.latency_ns[layout::histogram_bucket(now > sent_ns ? now - sent_ns : 0)], 1);
  }
  subscriber.count(header, last_take_ns_);
}

[[gnu::always_inline]] inline TakeOutcome Inbox::open_direct(DirectSource& direct, const DirectSource::Found& found, Delivered& delivered) {
  layout::ChunkHeader& header = *found.header;
  // The lines come together; the first one for writing, because the release swaps it.
  base::prefetch_for_write(&header);
  std::byte* const payload = memory::payload(header);
  base::prefetch_for_read(payload);
  base::prefetch_for_read(payload + base::kCacheLineBytes);
  const layout::Reference reference = layout::make_reference(direct.chunk_number(), found.generation);
  const uint32_t payload_bytes = header.payload_bytes;
  direct.taken(found);
  if (busy_run_ >= kBusyRun) direct.prefetch(kFetchedAhead);
  if (payload_bytes > direct.capacity_bytes()) [[unlikely]] {
    count_corrupt(direct.entry().source);
    let_go(reference, direct.bit());
    return TakeOutcome::Corrupt;
  }
  InHand& in_hand = new_in_hand();
  in_hand.header = &header;
  in_hand.reference = reference;
  in_hand.generation = found.generation;
  in_hand.bit = direct.bit();
  in_hand.attempt = 0;
  in_hand.source = nullptr;
  in_hand.held = false;
  in_hand.direct = &direct;
  delivered.in_hand = &in_hand;
  delivered.data = payload;
  delivered.payload_bytes = payload_bytes;
  return TakeOutcome::Ok;
}

void Inbox::refresh_direct() noexcept {
  const std::lock_guard lock(rings_mutex_);
  uint32_t offender = 0;
  for (uint32_t count = direct_.refresh(offender); count > 0; --count) count_corrupt(offender);
}

TakeOutcome Inbox::take_lane(std::size_t lane, Delivered& delivered) {
  Source& source = lanes_[lane];
  layout::Reference looked_at = 0;
  for (uint32_t looks = looks_max(source); looks > 0; --looks) {
    DirectSource::Found found;
    DirectSource* direct = direct_.find(lane, found);
    const layout::Reference first = source.peek();
    if (first != looked_at && direct_.changed()) [[unlikely]] {
      // A direct lane that was opened before this message was pushed is visible by now, with what it holds.
      looked_at = first;
      refresh_direct();
      continue;
    }
    if (direct != nullptr) {
      const bool in_turn = direct->in_order(found) ? direct_run_ < kDirectRun : direct->passed_count() >= source.slot_count();
      if (first == 0 || in_turn) {
        ++direct_run_;
        return open_direct(*direct, found, delivered);
      }
    }
    direct_run_ = 0;
    if (first == 0) return TakeOutcome::Empty;
    if (DirectSource* earlier = find_earlier(lane, first, found)) return open_direct(*earlier, found, delivered);
    bool finished = false;
    const uint64_t head = source.head();
    const TakeOutcome outcome = take_slot(source, delivered, finished);
    // A round that only moved a message in hand out of the way has passed nothing: counted, it would let
    // the late one go before the last of those that were sent before it.
    if (direct != nullptr && source.head() != head) direct->pass();
    if (outcome == TakeOutcome::Ok && direct_.serves(lane)) {
      const layout::ChunkHeader& root = header_of(delivered.data);
      direct_.taken_elsewhere(lane, root.source, root.publisher_row, root.sequence);
    }
    if (!finished) return outcome;
  }
  count_corrupt(0);
  return TakeOutcome::Corrupt;
}

// What the publisher of the message at the lane's head sent before it through a direct lane: that is
// visible by now, and goes first.
DirectSource* Inbox::find_earlier(std::size_t lane, layout::Reference first, DirectSource::Found& found) noexcept {
  if (!direct_.serves(lane)) return nullptr;
  layout::ChunkId chunk = 0;
  const layout::ChunkHeader* root = find_root(first, chunk);
  if (root == nullptr) return nullptr;
  DirectSource* earlier = direct_.find_from(lane, root->source, root->publisher_row, found);
  return earlier != nullptr && found.sequence < root->sequence ? earlier : nullptr;
}

TakeOutcome Inbox::take_lanes(Delivered& delivered) {
  if (direct_.changed()) [[unlikely]] refresh_direct();
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    if (!direct_.serves(lane) && lanes_[lane].peek() == 0) continue;
    const TakeOutcome outcome = take_lane(lane, delivered);
    if (outcome == TakeOutcome::Empty) continue;
    found_one();
    return outcome;
  }
  found_nothing();
  return TakeOutcome::Empty;
}

inline void Inbox::found_one() noexcept {
  quick_run_ = empty_run_ <= kQuickLooks ? quick_run_ + 1 : 0;
  empty_run_ = 0;
  ++busy_run_;
}

inline void Inbox::found_nothing() noexcept {
  busy_run_ = 0;
  ++empty_run_;
  if (quick_run_ < kQuickRun) {
    // The next message's lines come together, not its payload after its header. In a stream they are fetched ahead.
    if (const DirectSource* direct = direct_.first_in_turn()) direct->prefetch_payload();
  } else if (empty_run_ == 1) {
    for (uint32_t i = 0; i < kPausesInStream; ++i) base::spin_pause();
  }
}

// Whether nothing lies in the rings of the lanes. False may be damage: taking from them finds out.
[[gnu::always_inline]] inline bool Inbox::rings_are_empty() const noexcept {
  // All five at once, not one after the other: their lines come together.
  const auto empty = [lanes = lanes_.data()](std::size_t lane) -> unsigned { return lanes[lane].is_empty() ? 1 : 0; };
  return (empty(0) & empty(1) & empty(2) & empty(3) & empty(4)) != 0;
}

// The usual take of a busy receiver, made short: the next message of a direct lane, in order, for the
// subscription that asks, and nothing else that could go before it; or nothing anywhere. Empty and `sure`
// false: somebody has to look closely.
[[gnu::always_inline]] inline TakeOutcome Inbox::take_quickly(SubscriberCore* only, Delivered& delivered, bool& sure) {
  sure = false;
  DirectSource* const direct = direct_.first_in_turn();
  if (direct == nullptr || only == nullptr || only->ring != nullptr || pending_count_ != 0 || direct_.changed() ||
      !rings_are_empty() || !can_hold_more()) {
    return TakeOutcome::Empty;
  }
  DirectSource::Found found;
  if (!direct->look(found)) {
    if (direct_.has_others()) return TakeOutcome::Empty;
    found_nothing();
    sure = true;
    return TakeOutcome::Empty;
  }
  const layout::ChunkHeader& header = *found.header;
  if (!direct->in_order(found) || direct_.is_late_turn() || direct_.has_above(direct->priority()) ||
      subscriber_of(header.topic_id, nullptr) != only) {
    return TakeOutcome::Empty;
  }
  sure = true;
  direct_.had_its_turn();
  found_one();
  const TakeOutcome outcome = open_direct(*direct, found, delivered);
  if (outcome == TakeOutcome::Ok) count_take(*only, header);
  return outcome;
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

bool Inbox::file(SubscriberCore& subscriber, const Delivered& delivered) noexcept {
  ++pending_count_;
  try {
    subscriber.pending.push_back(delivered);
    return true;
  } catch (const std::bad_alloc&) {
    unfiled_ = delivered;
    return false;
  }
}

TakeOutcome Inbox::take_pending(SubscriberCore* only, Delivered& delivered) noexcept {
  if (unfiled_.in_hand != nullptr) [[unlikely]] {
    const Delivered late = std::exchange(unfiled_, {});
    --pending_count_;
    SubscriberCore* subscriber = subscriber_of(header_of(late.data).topic_id, late.in_hand->source);
    if (subscriber == nullptr) release(*late.in_hand);
    else if (!file(*subscriber, late)) return TakeOutcome::HeldFull;
  }
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
  if (pending_count_ != 0) {
    if (const TakeOutcome outcome = take_pending(only, delivered); outcome != TakeOutcome::Empty) return outcome;
  }
  Source* const ring = only != nullptr ? only->ring : nullptr;
  for (;;) {
    if (!can_hold_more()) [[unlikely]] return TakeOutcome::HeldFull;
    // A subscription of the inbox leaves the rings of others alone: what they hold is their policy's.
    TakeOutcome outcome = ring != nullptr ? take_from(*ring, delivered) : take_lanes(delivered);
    if (outcome == TakeOutcome::Empty && only == nullptr) outcome = take_rings(delivered);
    if (outcome != TakeOutcome::Ok) return outcome;
    const layout::ChunkHeader& header = header_of(delivered.data);
    SubscriberCore* subscriber = subscriber_of(header.topic_id, delivered.in_hand->source);
    if (subscriber == nullptr) {
      count_up(block_.counters.orphan_count, 1);
      (void)release(*delivered.in_hand);
      continue;  // Its subscription has ended.
    }
    count_take(*subscriber, header);
    if (only == nullptr || subscriber == only) return TakeOutcome::Ok;
    if (!file(*subscriber, delivered)) return TakeOutcome::HeldFull;
  }
}

Take<Message<Bytes>> Inbox::take(SubscriberCore* only) {
  Delivered delivered;
  bool sure = false;
  TakeOutcome outcome = take_quickly(only, delivered, sure);
  if (!sure) outcome = take(only, delivered);
  if (outcome != TakeOutcome::Ok) return outcome;
  return Take<Message<Bytes>>(std::in_place, *this, delivered);
}

Take<Message<Bytes>> Inbox::take(SubscriberCore* only, uint64_t timeout_ns) {
  Delivered delivered;
  TakeOutcome outcome = TakeOutcome::Empty;
  waiting_.wait(
      timeout_ns, [&] { return (outcome = take(only, delivered)) != TakeOutcome::Empty; },
      [&] { return base::scaled_now_ns(clock_); },
      [&](uint64_t sleep_ns) { return (outcome = sleep(only, sleep_ns, delivered)) != TakeOutcome::Empty; });
  if (outcome != TakeOutcome::Ok) return outcome;
  return Take<Message<Bytes>>(std::in_place, *this, delivered);
}

}  // namespace ripstop::detail
