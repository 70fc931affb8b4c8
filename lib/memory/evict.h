// Making room in a full ring whose policy is to drop the oldest message.
#pragma once

#include <cstdint>

#include "layout/agent_block.h"
#include "memory/chunk_map.h"
#include "ring/mpmc_ring.h"

namespace ripstop::memory {

enum class [[nodiscard]] Evict : uint8_t {
  Dropped,  // The oldest message is gone; the caller counts it.
  Moved,    // The slot was in its taker's hands and is now in its held table, or somebody else made room.
  Stuck,    // The taker holds as many messages as it may.
};

// Empties the slot at `tail` (as find_tail() gave it with Push::Full). `taker` is the block of the
// ring's taker. After that look the caller has made sure that the ring is still of this incarnation. FULL -> TAKEN(dropped) -> bit cleared -> EMPTY: a kill in between is finished by whoever
// meets TAKEN(dropped) next.
Evict evict_oldest(const ChunkMap& map, ring::MpmcRing& ring, const ring::Tail& tail, uint64_t incarnation,
                   layout::AgentBlock& taker) noexcept;

// Writes `slot` (a reference and its state) into an empty entry of the held table. An entry whose bit
// is gone or whose generation has moved counts as empty. Returns the entry's index, or -1.
int hold(const ChunkMap& map, layout::AgentBlock& agent, const ring::SlotView& slot) noexcept;

// Takes a finished message out of the held table, if it is there.
void unhold(layout::AgentBlock& agent, layout::Reference reference, uint32_t bit) noexcept;

}  // namespace ripstop::memory
