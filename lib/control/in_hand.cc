// Edges.  A(slot), A(held), A(directory): the other ends are where these words are written.
#include "control/in_hand.h"

#include <algorithm>

#include "control/direct_slab.h"
#include "ripstop/types.h"

namespace ripstop::control {

namespace {

class Look {
 public:
  explicit Look(const FabricMap& map) : map_(map), has_any_(map.agent_capacity()) {}

  std::vector<InHand> run() {
    // A(directory)
    const uint32_t high = std::min(map_.superblock().agent_high.load(std::memory_order_acquire), map_.agent_capacity());
    bool any = false;
    for (uint32_t id = 1; id < high; ++id) {
      const uint64_t word = map_.agent_entry(id)->word.load(std::memory_order_acquire);  // A(directory)
      layout::AgentBlock* block = map_.block(id);
      if (layout::agent_word_state(word) != layout::AgentState::Live || block == nullptr) continue;
      // Relaxed: counters. Whoever has nothing in hand, which is nearly everybody, costs no more than this.
      const layout::AgentCounters& counters = block->counters;
      const uint64_t in = counters.taken_count.load(std::memory_order_relaxed) + counters.orphan_count.load(std::memory_order_relaxed);
      if (in == counters.released_count.load(std::memory_order_relaxed)) continue;
      any = has_any_[id] = true;
      look_at_inbox(id, *block, layout::agent_word_incarnation(word));
    }
    if (any) look_at_rings();
    std::stable_sort(found_.begin(), found_.end(), [](const InHand& a, const InHand& b) { return a.agent_id < b.agent_id; });
    return std::move(found_);
  }

 private:
  void add(uint32_t agent_id, const Delivery& delivery, uint32_t receiver) {
    if (is_open(map_, delivery)) found_.push_back({agent_id, delivery, receiver});
  }

  // Where nobody evicts: slots from the oldest that was not given back to the mark.
  void look_at_ring(uint32_t agent_id, uint32_t receiver, const ring::MpmcRing& ring, const layout::RingBack& back, std::size_t lane) {
    // Relaxed: hints; the slot says of which turn it is.
    const uint64_t head = back.head_hint[lane].load(std::memory_order_relaxed);
    const auto count = static_cast<uint16_t>(back.taken_mark[lane].load(std::memory_order_relaxed) - head);
    for (uint64_t at = head; at - head < count && at - head < ring.slot_count(); ++at) {
      const ring::SlotView slot = ring.read(at);
      const layout::SlotState state = layout::unpack(slot.state);
      if (state.phase != layout::Phase::Full || state.turn != ring.turn(at)) continue;
      add(agent_id, {slot.low, state.bit, state.attempt}, receiver);
    }
  }

  // Where publishers evict, the slot says who took it.
  void look_at_shared_ring(uint32_t agent_id, uint32_t receiver, const ring::MpmcRing& ring) {
    for (uint64_t index = 0; index < ring.slot_count(); ++index) {
      const ring::SlotView slot = ring.read(index);
      const layout::SlotState state = layout::unpack(slot.state);
      if (state.phase != layout::Phase::Taken || state.owner != agent_id) continue;
      add(agent_id, {slot.low, state.bit, state.attempt}, receiver);
    }
  }

  void look_at_inbox(uint32_t agent_id, layout::AgentBlock& block, uint64_t incarnation) {
    const uint32_t inbox = layout::make_receiver(agent_id, incarnation);
    for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) look_at_ring(agent_id, inbox, map_.lane(block, lane), block.back, lane);
    for (const base::AtomicPair& held : block.held) {
      const uint64_t low = held.low.load(std::memory_order_acquire);  // A(held)
      if (low == 0) continue;
      const layout::SlotState state = layout::unpack(held.high.load(std::memory_order_acquire));  // A(held)
      const Delivery delivery{low, state.bit, state.attempt};
      const uint32_t named = receiver_of(map_, delivery);
      add(agent_id, delivery, layout::receiver_agent(named) == agent_id ? named : 0);
    }
    for (std::size_t i = 0; i < layout::kDirectCount; ++i) {
      const uint64_t in_hand = block.direct_in_hand[i].load(std::memory_order_relaxed);  // Relaxed: a hint.
      const DirectEntry entry = read_direct(block.direct[i]);
      if (in_hand == 0 || entry.word.state == layout::DirectState::Free) continue;
      (void)for_each_direct(map_.chunks(), entry, [&](layout::ChunkId chunk, const DirectCopy& copy) {
        if (((in_hand >> layout::chunk_index(chunk)) & 1) == 0) return;
        add(agent_id, {layout::make_reference(chunk, copy.holders.generation), entry.word.bit}, inbox);
      });
    }
  }

  void look_at_rings() {
    const uint32_t high = map_.superblock().ring_high.load(std::memory_order_acquire);  // A(directory)
    for (uint32_t ring_id = 1; ring_id < high; ++ring_id) {
      const layout::RingEntry* entry = map_.ring_entry(ring_id);
      if (entry == nullptr) return;
      if ((entry->word.load(std::memory_order_acquire) & 3) != layout::kRingInUse) continue;  // A(directory)
      if (entry->owner >= has_any_.size() || !has_any_[entry->owner]) continue;
      const auto queue = map_.queue(ring_id);
      if (!queue) continue;
      const uint32_t receiver = layout::make_receiver(entry->owner, queue->incarnation);
      const bool is_shared = entry->overflow == static_cast<uint8_t>(Overflow::DropOldest);
      if (is_shared) look_at_shared_ring(entry->owner, receiver, queue->ring);
      else look_at_ring(entry->owner, receiver, queue->ring, queue->block->back, 0);
    }
  }

  const FabricMap& map_;
  std::vector<bool> has_any_;  // By agent.
  std::vector<InHand> found_;
};

}  // namespace

std::vector<InHand> list_in_hand(const FabricMap& map) { return Look(map).run(); }

}  // namespace ripstop::control
