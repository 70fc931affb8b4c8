// Edges.  A(slot), A(held), A(directory): the other ends are where these words are written.
#include "control/overdue.h"

#include <algorithm>

#include "control/direct_slab.h"
#include "memory/holders.h"

namespace ripstop::control {

namespace {

// A message stays in its slot until it is released, or until it is kept elsewhere.
bool holds_any(const ring::MpmcRing& ring) noexcept {
  for (uint64_t index = 0; index < ring.slot_count(); ++index) {
    const layout::Phase phase = layout::word_phase(ring.read(index).state);
    if (phase == layout::Phase::Full || phase == layout::Phase::Taken) return true;
  }
  return false;
}

}  // namespace

bool Overdue::holds_direct(const layout::AgentBlock& block) const noexcept {
  for (const base::AtomicPair& place : block.direct) {
    const DirectEntry entry = read_direct(place);
    if (entry.word.state == layout::DirectState::Free) continue;
    bool any = false;
    (void)for_each_direct(map_.chunks(), entry,
                          [&](layout::ChunkId, const DirectCopy& copy) { any = any || has_bit(copy, entry.word.bit); });
    if (any) return true;
  }
  return false;
}

bool Overdue::holds_in_own_rings(uint32_t agent_id) const noexcept {
  const uint32_t ring_high = map_.superblock().ring_high.load(std::memory_order_acquire);  // A(directory)
  for (uint32_t ring_id = 1; ring_id < ring_high; ++ring_id) {
    const layout::RingEntry* entry = map_.ring_entry(ring_id);
    if (entry == nullptr) return false;
    if ((entry->word.load(std::memory_order_acquire) & 3) != layout::kRingInUse || entry->owner != agent_id) continue;  // A(directory)
    const auto queue = map_.queue(ring_id);
    if (queue && control::holds_any(queue->ring)) return true;
  }
  return false;
}

bool Overdue::holds_any(uint32_t agent_id, const layout::AgentBlock& block) const noexcept {
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    if (control::holds_any(map_.lane(*map_.block(agent_id), lane))) return true;
  }
  for (const base::AtomicPair& held : block.held) {
    const uint64_t reference = held.low.load(std::memory_order_acquire);  // A(held)
    const layout::ChunkHeader* header = reference == 0 ? nullptr : map_.chunks().find(layout::reference_chunk(reference));
    if (header == nullptr) continue;
    const memory::Holders holders = memory::read_holders(*header);
    const uint32_t bit = layout::unpack(held.high.load(std::memory_order_acquire)).bit;  // A(held)
    if (layout::same_generation(reference, holders.generation) && ((holders.bits >> bit) & 1) != 0) return true;
  }
  return holds_direct(block) || holds_in_own_rings(agent_id);
}

std::vector<uint32_t> Overdue::find(uint64_t now_ns, uint64_t lease_ns) {
  std::vector<uint32_t> overdue;
  // A(directory)
  const uint32_t agent_high = std::min(map_.superblock().agent_high.load(std::memory_order_acquire), map_.agent_capacity());
  for (uint32_t id = 1; id < agent_high; ++id) {
    const uint64_t word = map_.agent_entry(id)->word.load(std::memory_order_acquire);  // A(directory)
    const layout::AgentBlock* block = map_.block(id);
    if (layout::agent_word_state(word) != layout::AgentState::Live || block == nullptr) continue;
    // Relaxed: counters.
    const uint64_t taken = block->counters.taken_count.load(std::memory_order_relaxed);
    const uint64_t released = block->counters.released_count.load(std::memory_order_relaxed);
    Seen& seen = seen_[id];
    const bool got_on = seen.agent_word != word || seen.taken != taken || seen.released != released;
    if (got_on || !holds_any(id, *block)) {
      seen = {word, taken, released, now_ns};
    } else if (now_ns - seen.since_ns >= lease_ns) {
      overdue.push_back(id);
    }
  }
  return overdue;
}

}  // namespace ripstop::control
