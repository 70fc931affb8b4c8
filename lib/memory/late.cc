// What the entry says must outlast the agent's hold as long as it is open: a supervisor that was killed
// before it sent the copy on learns from it that the message was taken away, and not given back in time.
//
// Edges.  R(late) -> A(late)  an entry, supervisor to agent, and what the agent says of it, back.
#include "memory/late.h"

#include "memory/holders.h"

namespace ripstop::memory {

bool holds_late(const ChunkMap& map, const LateEntry& entry) noexcept {
  const layout::ChunkHeader* header = map.find(layout::reference_chunk(entry.reference));
  if (header == nullptr) return false;
  const Holders holders = read_holders(*header);
  return layout::same_generation(entry.reference, holders.generation) && ((holders.bits >> entry.word.late_bit) & 1) != 0;
}

bool give_late_back(const ChunkMap& map, layout::AgentBlock& agent, layout::Reference reference, uint32_t bit) noexcept {
  for (base::AtomicPair& place : agent.late) {
    // Written before the swap that took the bit: who has seen that sees this.
    LateEntry entry = read_late(place);
    if (entry.reference != reference || entry.word.bit != bit) continue;
    for (int tries = 0; tries < 2 && entry.word.open && !entry.word.returned; ++tries) {
      layout::LateWord returned = entry.word;
      returned.returned = true;
      const base::Pair desired{reference, layout::pack(returned)};
      // R(late). Failing: the copy has gone its way meanwhile.
      if (place.compare_exchange(entry.pair, desired)) entry.pair = desired;
      entry.word = layout::unpack_late(entry.pair.high);
    }
    (void)release(map, reference, entry.word.late_bit);  // Not a late bit: scribbled on, and ours to lose.
    // R(late). Failing: the supervisor changes it, and removes it when it looks next.
    if (!entry.word.open) (void)place.compare_exchange(entry.pair, {0, 0});
    return true;
  }
  return false;
}

}  // namespace ripstop::memory
