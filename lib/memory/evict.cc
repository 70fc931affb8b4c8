#include "memory/evict.h"

#include "layout/words.h"
#include "memory/holders.h"

namespace ripstop::memory {

namespace {

// Whether the entry's message is still held by the bit it names.
bool holds(const ChunkMap& map, uint64_t reference, uint64_t state) noexcept {
  const layout::ChunkHeader* header = map.find(layout::reference_chunk(reference));
  if (header == nullptr) return false;
  const Holders holders = read_holders(*header);
  return layout::same_generation(reference, holders.generation) &&
         ((holders.bits >> layout::unpack(state).bit) & 1) != 0;
}

}  // namespace

int hold(const ChunkMap& map, layout::AgentBlock& agent, const ring::SlotView& slot) noexcept {
  layout::SlotState state = layout::unpack(slot.state);
  state.phase = layout::Phase::Full;
  const base::Pair held{slot.low, layout::pack(state)};
  for (std::size_t i = 0; i < layout::kHeldCount; ++i) {
    base::AtomicPair& entry = agent.held[i];
    // A(held): the entry as its last writer left it.
    base::Pair seen{entry.low.load(std::memory_order_acquire), entry.high.load(std::memory_order_acquire)};
    if (seen.low != 0 && holds(map, seen.low, seen.high)) continue;
    if (entry.compare_exchange(seen, held)) return static_cast<int>(i);  // R(held)
  }
  return -1;
}

void unhold(layout::AgentBlock& agent, layout::Reference reference, uint32_t bit) noexcept {
  for (base::AtomicPair& entry : agent.held) {
    // A(held)
    base::Pair seen{entry.low.load(std::memory_order_acquire), entry.high.load(std::memory_order_acquire)};
    if (seen.low != reference || layout::unpack(seen.high).bit != bit) continue;
    (void)entry.compare_exchange(seen, {0, 0});  // R(held). Failing: it was replaced, which is as good.
    return;
  }
}

Evict evict_oldest(const ChunkMap& map, ring::MpmcRing& ring, const ring::Tail& tail, uint64_t incarnation,
                   layout::AgentBlock& taker) noexcept {
  ring::SlotView view = tail.slot;
  const layout::SlotState state = layout::unpack(view.state);
  if (state.phase == layout::Phase::Full) {
    if (!ring.take(tail.position, view, layout::kOwnerDropped)) return Evict::Moved;
  } else if (state.phase == layout::Phase::Taken && state.owner != layout::kOwnerDropped) {
    // In its taker's hands: out of the way of the ring, into its held table.
    if (hold(map, taker, view) < 0) return Evict::Stuck;
    (void)ring.finish(tail.position, view, incarnation);
    return Evict::Moved;
  } else if (state.phase != layout::Phase::Taken) {
    return Evict::Moved;
  }
  const bool ours = release(map, view.low, layout::unpack(view.state).bit) != Release::Gone;
  (void)ring.finish(tail.position, view, incarnation);
  return ours ? Evict::Dropped : Evict::Moved;
}

}  // namespace ripstop::memory
