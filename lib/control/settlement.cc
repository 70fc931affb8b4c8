#include "control/settlement.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "memory/evict.h"
#include "memory/holders.h"
#include "memory/late.h"
#include "ring/doorbell.h"
#include "ring/space.h"
#include "ripstop/types.h"

namespace ripstop::control {

namespace {

using layout::ChunkHeader;
using layout::ChunkRole;
using layout::Phase;
using layout::Reference;

// A slot's word as an answer: unpacked state and the reference it bears.
struct Seen {
  Reference reference;
  layout::SlotState state;
};

Seen see(const ring::MpmcRing& ring, uint64_t index) noexcept {
  const ring::SlotView view = ring.read(index);
  return {view.low, layout::unpack(view.state)};
}

void clear_block(layout::AgentBlock& block) noexcept {
  // Relaxed: nobody reads the block as its agent's before the registry says so, with a release.
  const auto zero = [](auto& word) { word.store(0, std::memory_order_relaxed); };
  auto& counters = block.counters;
  for (auto* counter : {&counters.taken_count, &counters.released_count, &counters.orphan_count, &counters.corrupt_count,
                        &counters.sleep_count, &counters.last_take_ns, &counters.last_poll_ns}) {
    zero(*counter);
  }
  zero(counters.corrupt_source);
  for (layout::SenderIntent& intent : block.senders) {
    zero(intent.root);
    zero(intent.direct_count);
    zero(intent.direct_root);
    zero(intent.state);
  }
  for (base::AtomicPair& entry : block.held) {
    zero(entry.low);
    zero(entry.high);
  }
  for (layout::PublisherRow& row : block.publishers) {
    for (auto* word : {&row.sequence, &row.message_count, &row.byte_count, &row.delivery_count, &row.full_count,
                       &row.none_count, &row.last_time_ns}) {
      zero(*word);
    }
    zero(row.topic_id);
    zero(row.state);
  }
  for (layout::SubscriptionRow& row : block.subscriptions) {
    for (auto* word : {&row.message_count, &row.byte_count, &row.lost_count, &row.duplicate_count, &row.last_time_ns,
                       &row.dropped_count}) {
      zero(*word);
    }
    zero(row.topic_id);
    zero(row.state);
    zero(row.ring_id);
  }
  for (auto& bucket : block.latency_ns) zero(bucket);
  for (base::AtomicPair& entry : block.direct) {
    zero(entry.low);
    zero(entry.high);
  }
  for (base::AtomicPair& entry : block.late) {
    zero(entry.low);
    zero(entry.high);
  }
  for (std::atomic<uint64_t>& mark : block.direct_in_hand) zero(mark);
  zero(block.front.direct_version);
  zero(block.back.space_waiters);
}

// Of a ring that was reopened.
void take_nothing(layout::RingBack& back, std::size_t lane) noexcept {
  // Relaxed: as in reopen_ring().
  back.taken_mark[lane].store(static_cast<uint16_t>(back.head_hint[lane].load(std::memory_order_relaxed)), std::memory_order_relaxed);
}

}  // namespace

void Settlement::give_up(const Delivery& delivery, const Estate* estate, Settled& settled) noexcept {
  const bool was_there = letters_ != nullptr && estate != nullptr
                             ? letters_->take(delivery, *estate)
                             : memory::release(map_.chunks(), delivery.reference, delivery.bit) != memory::Release::Gone;
  if (was_there) ++settled.message_count;
}

Settlement::Estate Settlement::at_place(const Estate& estate, uint8_t place) noexcept {
  Estate there = estate;
  there.place = place;
  return there;
}

void Settlement::keep_for(uint32_t owner, ring::MpmcRing ring, uint64_t position, const ring::SlotView& slot) noexcept {
  layout::AgentBlock* block = map_.block(owner);
  if (block == nullptr || !is_open(map_, {slot.low, layout::unpack(slot.state).bit})) return;
  // A full table leaves it where it is: its taker releases it, but nobody would if the taker died now.
  if (memory::hold(map_.chunks(), *block, slot) >= 0) (void)ring.finish(position, slot, 0);
}

void Settlement::close_ring(ring::MpmcRing ring, uint32_t living_owner, const Estate* estate, Settled& settled) noexcept {
  // Others may push while we look for the tail: each round one of them succeeded.
  for (uint32_t round = 0; round < 16 * ring.slot_count() + 64; ++round) {
    // Any incarnation will do: Stale is an EMPTY tail like Ok.
    ring::Tail tail = ring.find_tail(0);
    if (tail.outcome == ring::Push::Closed) return;
    if (tail.outcome == ring::Push::Corrupt) {
      ++settled.corrupt_count;
      return;
    }
    const layout::SlotState state = layout::unpack(tail.slot.state);
    if (tail.outcome == ring::Push::Full && living_owner != layout::kOwnerNone && state.phase == Phase::Taken &&
        state.owner == living_owner) {
      keep_for(living_owner, ring, tail.position, tail.slot);
      if (ring.read(tail.position).state != tail.slot.state) continue;
    } else if (tail.outcome == ring::Push::Full) {
      // The oldest message makes room for the mark.
      give_up({tail.slot.low, state.bit, state.attempt}, state.owner == layout::kOwnerDropped ? nullptr : estate, settled);
    }
    base::Pair expected{tail.slot.low, tail.slot.state};
    // R(slot)
    const uint64_t closed = layout::pack({ring.turn(tail.position), 0, 0, layout::kOwnerNone, Phase::Closed});
    if (ring.slot(tail.position).compare_exchange(expected, {0, closed})) return;
  }
  ++settled.corrupt_count;
}

void Settlement::drain_slot(ring::MpmcRing ring, uint64_t index, const Estate& estate, Settled& settled) noexcept {
  // Bounded: a living publisher that was about to evict may change it under our hands, once.
  for (uint32_t tries = 0; tries < 64; ++tries) {
    const ring::SlotView view = ring.read(index);
    const layout::SlotState state = layout::unpack(view.state);
    if (state.phase != Phase::Full && state.phase != Phase::Taken) return;
    const Delivery delivery{view.low, state.bit, state.attempt};
    if (map_.chunks().find(layout::reference_chunk(view.low)) == nullptr) ++settled.corrupt_count;
    // What was about to be dropped is: that is the ring's policy.
    else give_up(delivery, state.owner == layout::kOwnerDropped ? nullptr : &estate, settled);
    base::Pair expected{view.low, view.state};
    // R(slot). A mark like the one at the tail: the message may bear its bit elsewhere from now on.
    if (ring.slot(index).compare_exchange(expected, {0, layout::pack({state.turn, 0, 0, layout::kOwnerNone, Phase::Closed})})) return;
  }
  ++settled.corrupt_count;
}

void Settlement::drain_ring(ring::MpmcRing ring, const Estate& estate, Settled& settled) noexcept {
  // In the order in which they were pushed, as far as the hint knows. Relaxed: a hint.
  const uint64_t head = ring.head_hint().load(std::memory_order_relaxed);
  for (uint64_t i = 0; i < ring.slot_count(); ++i) drain_slot(ring, head + i, estate, settled);
}

void Settlement::drain_held(uint32_t agent_id, layout::AgentBlock& block, std::span<const uint32_t> own_rings,
                            const Estate& estate, Settled& settled) noexcept {
  for (base::AtomicPair& held : block.held) {
    // A(held)
    base::Pair entry{held.low.load(std::memory_order_acquire), held.high.load(std::memory_order_acquire)};
    if (entry.low == 0) continue;
    const Delivery delivery{entry.low, layout::unpack(entry.high).bit, layout::unpack(entry.high).attempt};
    const uint32_t receiver = receiver_of(map_, delivery);
    uint8_t place = layout::kLetterInbox;
    for (const uint32_t ring_id : own_rings) {
      const auto queue = map_.queue(ring_id);
      if (queue && layout::make_receiver(agent_id, queue->incarnation) == receiver) place = map_.ring_entry(ring_id)->place;
    }
    const Estate there = at_place(estate, place);
    give_up(delivery, &there, settled);
    (void)held.compare_exchange(entry, {0, 0});  // R(held). A late helper's entry has no bit: it counts as empty.
  }
}

void Settlement::reopen_ring(ring::MpmcRing ring, uint64_t incarnation) noexcept {
  uint64_t newest = see(ring, 0).state.turn;
  for (uint64_t index = 1; index < ring.slot_count(); ++index) {
    const uint64_t turn = see(ring, index).state.turn;
    if (layout::turn_distance(turn, newest) > 0) newest = turn;
  }
  const uint64_t turn = (newest + 1) & layout::kTurnMask;
  const uint64_t empty = layout::pack({turn, 0, 0, layout::kOwnerNone, Phase::Empty});
  // From the end, CLOSED last: a stale pusher of the last incarnation that starts from any hint comes to
  // CLOSED, or from a slot of the new turn to one of the new turn, and so to no EMPTY slot of its own.
  for (const bool last : {false, true}) {
    for (uint64_t index = ring.slot_count(); index-- > 0;) {
      base::AtomicPair& slot = ring.slot(index);
      // By swap: a stale pusher that was led astray may swap too; what it got in is released.
      for (uint32_t tries = 0; tries < 1024; ++tries) {
        const ring::SlotView view = ring.read(index);
        const layout::SlotState state = layout::unpack(view.state);
        if (state.phase == Phase::Closed && !last) break;
        if (state.phase == Phase::Full) (void)memory::release(map_.chunks(), view.low, state.bit);
        base::Pair expected{view.low, view.state};
        // R(slot)
        if (slot.compare_exchange(expected, {incarnation, empty})) break;
      }
    }
  }
  const uint64_t start = ring.position(turn, 0);
  // Relaxed: hints; and nobody knows the incarnation yet: the registry publishes it, with a release.
  ring.head_hint().store(start, std::memory_order_relaxed);
  ring.tail_hint().store(start, std::memory_order_relaxed);
}

void Settlement::open_inbox(uint32_t agent_id, uint64_t incarnation) noexcept {
  layout::AgentBlock* block = map_.block(agent_id);
  if (block == nullptr) return;
  clear_block(*block);
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    reopen_ring(map_.lane(*block, lane), incarnation);
    take_nothing(block->back, lane);
  }
  block->header.incarnation.store(incarnation, std::memory_order_relaxed);  // Relaxed: as in reopen_ring().
}

bool Settlement::open_queue(uint32_t ring_id, uint64_t incarnation) noexcept {
  const auto queue = map_.queue(ring_id);
  if (!queue) return false;
  queue->block->back.space_waiters.store(0, std::memory_order_relaxed);  // Relaxed: before it is handed out.
  reopen_ring(queue->ring, incarnation);
  take_nothing(queue->block->back, 0);
  return true;
}

Settled Settlement::close_queue(uint32_t ring_id, uint32_t owner) noexcept {
  Settled settled;
  const auto queue = map_.queue(ring_id);
  if (!queue) return settled;
  close_ring(queue->ring, owner, nullptr, settled);
  for (uint64_t index = 0; index < queue->ring.slot_count(); ++index) {
    const ring::SlotView view = queue->ring.read(index);
    const Seen seen{view.low, layout::unpack(view.state)};
    // What its living taker has in its hands stays valid: into its held table.
    if (seen.state.phase == Phase::Taken && seen.state.owner == owner && owner != layout::kOwnerNone) {
      keep_for(owner, queue->ring, index, view);
    } else if (seen.state.phase == Phase::Full || seen.state.phase == Phase::Taken) {
      if (memory::release(map_.chunks(), seen.reference, seen.state.bit) != memory::Release::Gone) ++settled.message_count;
    }
  }
  ring::wake_space_waiters(queue->block->back);
  return settled;
}

void Settlement::settle_delivery(const ChunkHeader& root, Reference reference, uint32_t bit, uint32_t receiver,
                                 Settled& settled) noexcept {
  const Delivery delivery{reference, bit};
  if (letters_ != nullptr && letters_->has(delivery)) return;  // It was made, and its receiver has ended since.
  const std::size_t lane = std::min<std::size_t>(root.priority, layout::kLaneCount - 1);
  const Arrival arrival = complete(map_, receiver, lane, delivery);
  if (arrival == Arrival::There) return;
  if (arrival == Arrival::Pushed) {
    ++settled.completed_count;
    return;
  }
  // Nobody there, or no room: recovery never waits.
  const bool was_there = letters_ != nullptr
                             ? letters_->take(delivery, addressee(receiver, arrival))
                             : memory::release(map_.chunks(), reference, bit) != memory::Release::Gone;
  if (was_there && arrival == Arrival::Full) ++settled.full_count;
}

// Whom a delivery was for that did not arrive: the agent whose ring the word names, if it is known still.
// It waits for a successor as what that agent left does.
Settlement::Estate Settlement::addressee(uint32_t receiver, Arrival arrival) const noexcept {
  Estate estate;
  estate.reason = arrival == Arrival::Full ? layout::LetterReason::NoRoom : layout::LetterReason::Closed;
  const uint32_t agent_id = layout::receiver_agent(receiver);
  const layout::AgentEntry* entry = map_.agent_entry(agent_id);
  if (entry == nullptr) return estate;
  const uint64_t incarnation = layout::agent_word_incarnation(entry->word.load(std::memory_order_acquire));  // A(directory)
  bool is_known = layout::make_receiver(agent_id, incarnation) == receiver;
  for (uint32_t ring_id = 1; const layout::RingEntry* ring = is_known ? nullptr : map_.ring_entry(ring_id); ++ring_id) {
    if (ring->owner != agent_id || ring->owner_incarnation != incarnation) continue;
    is_known = layout::make_receiver(agent_id, ring->word.load(std::memory_order_acquire) >> 2) == receiver;  // A(directory)
    estate.place = ring->place;
  }
  if (!is_known) return estate;
  estate.name = {entry->name, strnlen(entry->name, sizeof entry->name)};
  if (arrival == Arrival::NoPlace && entry->ended == layout::AgentEnd::Died && letters_->policy().grace_ns != 0) {
    const uint64_t until_ns = entry->end_time_ns + letters_->policy().grace_ns;
    if (until_ns > base::monotonic_ns()) estate.until_ns = until_ns;
  }
  return estate;
}

void Settlement::settle_names(ChunkHeader& root, ChunkHeader& holder, Reference reference,
                              std::span<const uint32_t> names, Settled& settled) noexcept {
  const uint64_t bits = memory::read_holders(holder).bits;
  for (uint32_t bit = 0; bit < names.size() && bit < layout::kDeliveryCount; ++bit) {
    if (((bits >> bit) & 1) != 0) settle_delivery(root, reference, bit, names[bit], settled);
  }
}

void Settlement::settle_send(layout::AgentBlock& block, const layout::SenderIntent& intent, Settled& settled) noexcept {
  const Reference reference = intent.root.load(std::memory_order_acquire);  // A(intent)
  if (reference == 0) return;
  const uint64_t generation = intent.generation.load(std::memory_order_acquire);  // A(intent)
  ChunkHeader* root = map_.chunks().find(layout::reference_chunk(reference));
  const uint32_t row = intent.row.load(std::memory_order_acquire);  // A(intent)
  if (root == nullptr || !layout::same_generation(reference, generation) || row >= layout::kPublisherRows) {
    ++settled.corrupt_count;
    return;
  }
  const memory::Holders holders = memory::read_holders(*root);
  // Still the publisher's alone: never committed. The slabs' scrub gives it back with its links.
  if (holders.generation == generation && holders.bits == layout::kPublisherHold) return;
  std::atomic<uint64_t>& sequence = block.publishers[row].sequence;
  const uint64_t committed = intent.sequence.load(std::memory_order_acquire);  // A(intent)
  if (sequence.load(std::memory_order_acquire) < committed) {                  // A(sequence)
    sequence.store(committed, std::memory_order_release);                      // R(sequence)
  }
  if (holders.generation != generation) return;  // Delivered and freed.
  if ((root->flags & layout::kFlagLinked) == 0 || root->receivers[0] != 0) {
    settle_names(*root, *root, reference, root->receivers, settled);
    return;
  }
  Reference next = root->link;
  Reference mark = 0;  // Brent's: of a chain that comes back to it each link would be settled again and again.
  for (uint32_t steps = 0; next != 0 && steps < memory::kLinksMax; ++steps) {
    ChunkHeader* link = next == mark ? nullptr : map_.chunks().find(layout::reference_chunk(next));
    if (std::has_single_bit(steps + 1)) mark = next;
    if (link == nullptr) {
      ++settled.corrupt_count;
      return;
    }
    const Reference here = next;
    const bool lives = layout::same_generation(here, memory::read_holders(*link).generation);
    next = link->link;  // A branch that is gone keeps its link until its owner, who is dead, loans it again.
    if (!lives || (link->role != ChunkRole::ReceiverList && link->role != ChunkRole::Branch)) continue;
    if (link->role == ChunkRole::ReceiverList && link->root != reference) continue;  // Of another message.
    const layout::ReceiverNames& list = memory::receiver_names(*link);
    const std::size_t count = std::min<std::size_t>(list.count, layout::kDeliveryCount);
    if (link->role == ChunkRole::Branch) {
      settle_names(*root, *link, here, {list.names, count}, settled);
    } else {
      settle_names(*root, *root, reference, {list.names, count}, settled);
    }
  }
}

void Settlement::settle_late(layout::AgentBlock& block, Settled& settled) noexcept {
  for (base::AtomicPair& place : block.late) {
    memory::LateEntry entry = memory::read_late(place);
    if (entry.reference == 0) continue;
    const bool is_late_bit = entry.word.late_bit >= layout::kLateBitFirst && entry.word.late_bit < layout::kLateBitFirst + layout::kLateBitCount;
    if (!is_late_bit) ++settled.corrupt_count;
    else if (memory::release(map_.chunks(), entry.reference, entry.word.late_bit) == memory::Release::Freed) ++settled.chunk_count;
    (void)place.compare_exchange(entry.pair, {0, 0});  // R(late)
  }
}

void Settlement::settle_sends(layout::AgentBlock& block, Settled& settled) noexcept {
  for (const layout::SenderIntent& intent : block.senders) settle_send(block, intent, settled);
}

bool Settlement::is_committed(Reference root) const noexcept {
  for (int depth = 0; depth <= memory::kBranchDepthMax; ++depth) {
    const ChunkHeader* header = map_.chunks().find(layout::reference_chunk(root));
    if (header == nullptr) return false;
    const memory::Holders holders = memory::read_holders(*header);
    if (!layout::same_generation(root, holders.generation) || holders.bits == 0 || holders.bits == layout::kPublisherHold) return false;
    if (header->role != ChunkRole::Branch) return true;
    root = header->root;  // A branch of a branch: only the message itself can tell.
  }
  return false;
}

void Settlement::settle_slabs(uint32_t agent_id, uint64_t incarnation, Settled& settled) noexcept {
  const memory::ChunkMap& chunks = map_.chunks();
  for (uint32_t node = 0; node < chunks.node_count(); ++node) {
    for (uint32_t slab = 0; slab < chunks.slab_count(node); ++slab) {
      layout::SlabOwner& owner = chunks.slab_owner(node, slab);
      uint64_t word = owner.load(std::memory_order_acquire);  // A(slab)
      if (layout::slab_owner_agent(word) != agent_id || layout::slab_owner_incarnation(word) != (incarnation & 0x3ffffff)) continue;
      const memory::SlabPlace& place = chunks.slab(node, slab);
      for (uint32_t index = 0; index < place.chunk_count; ++index) {
        auto* header = reinterpret_cast<ChunkHeader*>(place.first + std::size_t{index} * place.stride_bytes);
        const memory::Holders holders = memory::read_holders(*header);
        bool abandoned = holders.bits == layout::kPublisherHold;
        if (holders.bits == layout::kLinkHold || (header->role == ChunkRole::Branch && holders.bits != 0 && holders.bits != layout::kClosing)) {
          // A link lives as long as the message that names it was committed and lives.
          abandoned = !is_committed(header->root);
        }
        if (!abandoned) continue;
        base::Pair expected{holders.generation, holders.bits};
        if (header->holders.compare_exchange(expected, {holders.generation + 1, 0})) ++settled.chunk_count;  // R(release)
      }
      // R(slab). Failing means that somebody else settles it too.
      (void)owner.compare_exchange_strong(word, layout::make_slab_owner(layout::slab_owner_version(word) + 1, 0, 0),
                                          std::memory_order_release, std::memory_order_relaxed);  // Relaxed: not used.
    }
  }
}

// A full ring's oldest message that was taken to be dropped. Its taker passes it by, and a pusher meets it
// a lap later only: until then a dead evictor's chunk would be missing. A living evictor finds its work done.
void Settlement::finish_evictions(Settled& settled) noexcept {
  for (uint32_t ring_id = 1; map_.ring_entry(ring_id) != nullptr; ++ring_id) {
    const auto queue = map_.queue(ring_id);
    if (!queue) continue;
    ring::MpmcRing ring = queue->ring;
    for (uint64_t index = 0; index < ring.slot_count(); ++index) {
      const ring::SlotView slot = ring.read(index);
      const layout::SlotState state = layout::unpack(slot.state);
      if (state.phase != Phase::Taken || state.owner != layout::kOwnerDropped) continue;
      if (memory::release(map_.chunks(), slot.low, state.bit) != memory::Release::Gone) ++settled.full_count;
      (void)ring.finish(index, slot, queue->incarnation);
    }
  }
}

void Settlement::finish_closing(Settled& settled) noexcept {
  const memory::ChunkMap& chunks = map_.chunks();
  for (uint32_t node = 0; node < chunks.node_count(); ++node) {
    for (uint32_t slab = 0; slab < chunks.slab_count(node); ++slab) {
      const memory::SlabPlace& place = chunks.slab(node, slab);
      for (uint32_t index = 0; index < place.chunk_count; ++index) {
        auto* header = reinterpret_cast<ChunkHeader*>(place.first + std::size_t{index} * place.stride_bytes);
        const memory::Holders holders = memory::read_holders(*header);
        if (holders.bits != layout::kClosing) continue;
        memory::finish_closing(chunks, *header, layout::make_chunk_id(node, slab, index), holders.generation);
        ++settled.chunk_count;
      }
    }
  }
}

void Settlement::wake_sleepers() noexcept {
  // What lies at the hint may be in its taker's hands, and what came since lies behind it.
  const auto has_mail = [](const ring::MpmcRing& ring, uint64_t head) {
    for (uint64_t at = head; at < head + ring.slot_count(); ++at) {
      const uint64_t state = ring.read(at).state;
      if (layout::word_phase(state) == Phase::Full) return true;
      if (layout::word_phase(state) == Phase::Empty && layout::word_turn(state) == ring.turn(at)) return false;
    }
    return false;
  };
  const auto wake = [](layout::AgentBlock& block) {
    uint32_t last_rung = 0;
    ring::ring_doorbell(block.front.doorbell, last_rung);  // Does nothing for who is awake.
  };
  for (uint32_t agent_id = 1; agent_id < map_.agent_capacity(); ++agent_id) {
    layout::AgentBlock* block = map_.block(agent_id);
    if (block == nullptr) continue;
    const uint32_t word = block->front.doorbell.load(std::memory_order_acquire);  // A(bell)
    if ((word & layout::kDoorbellArmed) == 0) continue;
    if (has_direct_mail(*block)) wake(*block);
    for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
      // Relaxed: a hint; a sleeper has emptied all below and taken all there was.
      const uint64_t head = block->back.head_hint[lane].load(std::memory_order_relaxed);
      if (!has_mail(map_.lane(*block, lane), head)) continue;
      wake(*block);
      break;
    }
  }
  for (uint32_t ring_id = 1; const layout::RingEntry* entry = map_.ring_entry(ring_id); ++ring_id) {
    const auto queue = map_.queue(ring_id);
    layout::AgentBlock* block = queue ? map_.block(entry->owner) : nullptr;
    // Relaxed: a hint, as above.
    if (block != nullptr && has_mail(queue->ring, queue->block->back.head_hint[0].load(std::memory_order_relaxed))) wake(*block);
  }
}

Settled Settlement::settle(uint32_t agent_id, uint64_t incarnation, std::span<const uint32_t> own_rings,
                           const Estate& estate) noexcept {
  Settled settled;
  layout::AgentBlock* block = map_.block(agent_id);
  if (block == nullptr) return settled;
  std::vector<std::pair<ring::MpmcRing, Estate>> rings;
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    rings.emplace_back(map_.lane(*block, lane), at_place(estate, layout::kLetterInbox));
  }
  for (const uint32_t ring_id : own_rings) {
    if (const auto queue = map_.queue(ring_id)) rings.emplace_back(queue->ring, at_place(estate, map_.ring_entry(ring_id)->place));
  }
  for (const auto& [ring, heirs] : rings) close_ring(ring, layout::kOwnerNone, &heirs, settled);
  settle_sends(*block, settled);
  // Before the slabs: a re-run must not follow the chain through chunks that others own by then.
  for (layout::SenderIntent& intent : block->senders) intent.root.store(0, std::memory_order_release);  // R(intent)
  for (const auto& [ring, heirs] : rings) drain_ring(ring, heirs, settled);
  drain_held(agent_id, *block, own_rings, estate, settled);
  // What it had from an agent of its name before it, or from a replay, lies where the table says.
  if (letters_ != nullptr) settled.message_count += letters_->take_back(agent_id, incarnation, estate);
  settle_direct(agent_id, incarnation, *block, estate, settled);
  settle_late(*block, settled);
  settle_slabs(agent_id, incarnation, settled);
  finish_evictions(settled);
  finish_closing(settled);
  // Publishers that wait for room in its rings must learn that there will be none.
  ring::wake_space_waiters(block->back);
  for (const uint32_t ring_id : own_rings) {
    if (const auto queue = map_.queue(ring_id)) ring::wake_space_waiters(queue->block->back);
  }
  wake_sleepers();
  return settled;
}

}  // namespace ripstop::control
