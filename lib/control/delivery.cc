#include "control/delivery.h"

#include <algorithm>
#include <iterator>

#include "memory/evict.h"
#include "memory/holders.h"
#include "ripstop/types.h"

namespace ripstop::control {

namespace {

bool lies_in(const ring::MpmcRing& ring, const Delivery& delivery) noexcept {
  for (uint64_t index = 0; index < ring.slot_count(); ++index) {
    const ring::SlotView view = ring.read(index);
    const layout::SlotState state = layout::unpack(view.state);
    const bool is_there = state.phase == layout::Phase::Full || state.phase == layout::Phase::Taken;
    if (is_there && Delivery{view.low, state.bit} == delivery) return true;
  }
  return false;
}

bool is_held(const layout::AgentBlock& block, const Delivery& delivery) noexcept {
  return std::any_of(std::begin(block.held), std::end(block.held), [&](const base::AtomicPair& held) {
    // A(held)
    const uint64_t low = held.low.load(std::memory_order_acquire);
    const uint64_t high = held.high.load(std::memory_order_acquire);  // A(held)
    return Delivery{low, layout::unpack(high).bit} == delivery;
  });
}

ring::Push push(const FabricMap& map, Place& place, const Delivery& delivery) noexcept {
  // Others may take the room that was made: each round somebody made progress.
  for (uint32_t round = 0; round < 4 * place.ring.slot_count() + 64; ++round) {
    const ring::Tail tail = place.ring.find_tail(place.incarnation);
    const ring::Push pushed = place.ring.push(tail, place.incarnation, delivery.reference, delivery.bit, delivery.attempt);
    if (pushed != ring::Push::Full || !place.drops_oldest) return pushed;
    if (tail.outcome != ring::Push::Full) continue;
    const memory::Evict evicted = memory::evict_oldest(map.chunks(), place.ring, tail, place.incarnation, place.taker);
    if (evicted == memory::Evict::Stuck) return pushed;
  }
  return ring::Push::Full;
}

}  // namespace

bool is_open(const FabricMap& map, const Delivery& delivery) noexcept {
  const layout::ChunkHeader* header = map.chunks().find(layout::reference_chunk(delivery.reference));
  if (header == nullptr) return false;
  const memory::Holders holders = memory::read_holders(*header);
  return layout::same_generation(delivery.reference, holders.generation) && ((holders.bits >> delivery.bit) & 1) != 0;
}

layout::Reference root_reference(const FabricMap& map, layout::Reference reference) noexcept {
  for (int depth = 0; depth <= memory::kBranchDepthMax; ++depth) {
    const layout::ChunkHeader* header = map.chunks().find(layout::reference_chunk(reference));
    if (header == nullptr || !layout::same_generation(reference, memory::read_holders(*header).generation)) return 0;
    if (header->role != layout::ChunkRole::Branch) return reference;
    reference = header->root;
  }
  return 0;
}

layout::ChunkHeader* find_message(const FabricMap& map, layout::Reference reference) noexcept {
  const layout::Reference root = root_reference(map, reference);
  return root == 0 ? nullptr : map.chunks().find(layout::reference_chunk(root));
}

uint32_t receiver_of(const FabricMap& map, const Delivery& delivery) noexcept {
  layout::ChunkHeader* header = map.chunks().find(layout::reference_chunk(delivery.reference));
  if (header == nullptr) return 0;
  const auto in_list = [&](layout::ChunkHeader& list) {
    const layout::ReceiverNames& names = memory::receiver_names(list);
    return delivery.bit < std::min<uint32_t>(names.count, layout::kDeliveryCount) ? names.names[delivery.bit] : 0;
  };
  if (header->role == layout::ChunkRole::Branch) return in_list(*header);
  if ((header->flags & layout::kFlagLinked) == 0 || header->receivers[0] != 0) {
    return delivery.bit < layout::kHeaderReceivers ? header->receivers[delivery.bit] : 0;
  }
  layout::Reference next = header->link;
  for (uint32_t steps = 0; next != 0 && steps < memory::kLinksMax; ++steps) {
    layout::ChunkHeader* link = map.chunks().find(layout::reference_chunk(next));
    if (link == nullptr) return 0;
    if (link->role == layout::ChunkRole::ReceiverList && link->root == delivery.reference) return in_list(*link);
    next = link->link;
  }
  return 0;
}

std::optional<Place> find_place(const FabricMap& map, uint32_t name, std::size_t lane) noexcept {
  const uint32_t agent_id = layout::receiver_agent(name);
  layout::AgentBlock* block = map.block(agent_id);
  const layout::AgentEntry* entry = map.agent_entry(agent_id);
  if (block == nullptr || entry == nullptr || lane >= layout::kLaneCount) return std::nullopt;
  const uint64_t word = entry->word.load(std::memory_order_acquire);  // A(directory)
  if (layout::agent_word_state(word) != layout::AgentState::Live) return std::nullopt;
  const uint64_t incarnation = layout::agent_word_incarnation(word);
  if (layout::make_receiver(agent_id, incarnation) == name) return Place{map.lane(*block, lane), incarnation, *block, false};
  for (uint32_t ring_id = 1; const layout::RingEntry* ring = map.ring_entry(ring_id); ++ring_id) {
    if (ring->owner != agent_id || ring->owner_incarnation != incarnation) continue;
    if ((ring->word.load(std::memory_order_acquire) & 3) != layout::kRingInUse) continue;  // A(directory)
    const auto queue = map.queue(ring_id);
    if (!queue || layout::make_receiver(agent_id, queue->incarnation) != name) continue;
    return Place{queue->ring, queue->incarnation, *block, ring->overflow == static_cast<uint8_t>(Overflow::DropOldest)};
  }
  return std::nullopt;
}

bool has_room(const FabricMap& map, uint32_t name, std::size_t lane) noexcept {
  const auto place = find_place(map, name, lane);
  return place && (place->drops_oldest || place->ring.find_tail(place->incarnation).outcome == ring::Push::Ok);
}

Arrival complete(const FabricMap& map, uint32_t name, std::size_t lane, const Delivery& delivery) noexcept {
  if (!is_open(map, delivery)) return Arrival::There;
  auto place = find_place(map, name, lane);
  if (place && lies_in(place->ring, delivery)) return Arrival::There;
  // Also when the ring is no more: its living taker has what it had in hand in its held table.
  const layout::AgentBlock* block = map.block(layout::receiver_agent(name));
  if (block != nullptr && is_held(*block, delivery)) return Arrival::There;
  if (!is_open(map, delivery)) return Arrival::There;  // It went while we looked.
  if (!place) return Arrival::NoPlace;
  switch (push(map, *place, delivery)) {
    case ring::Push::Ok: return Arrival::Pushed;
    case ring::Push::Closed:
    case ring::Push::Stale: return Arrival::NoPlace;
    case ring::Push::Full:
    case ring::Push::Corrupt: break;
  }
  return Arrival::Full;
}

}  // namespace ripstop::control
