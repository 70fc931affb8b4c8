// Messages that an agent did not give back in time (layout::LateWord): the supervisor has exchanged the
// agent's bit for a late one and sent the message on in a copy. The agent may read what it has in hand until
// it gives it back; then it finds its bit gone.
#pragma once

#include <cstdint>

#include "layout/agent_block.h"
#include "memory/chunk_map.h"

namespace ripstop::memory {

struct LateEntry {
  layout::Reference reference;  // 0: none.
  layout::LateWord word;
  base::Pair pair;
};

inline LateEntry read_late(const base::AtomicPair& entry) noexcept {
  // A(late). The halves of two entries make no harm: a swap with them fails.
  const uint64_t low = entry.low.load(std::memory_order_acquire);
  const uint64_t high = entry.high.load(std::memory_order_acquire);  // A(late)
  return {low, layout::unpack_late(high), {low, high}};
}

// Whether the late bit is there: the holders say that the agent was late, and it has not given it back.
bool holds_late(const ChunkMap& map, const LateEntry& entry) noexcept;

// The agent: its bit is gone. Gives back what it holds instead. False: it was not late.
bool give_late_back(const ChunkMap& map, layout::AgentBlock& agent, layout::Reference reference, uint32_t bit) noexcept;

}  // namespace ripstop::memory
