// The chunks of a direct lane (agent/direct_lane.h), as one who is no end of it looks at them.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/atomic_pair.h"
#include "memory/chunk_map.h"
#include "memory/holders.h"

namespace ripstop::control {

// What tells a lane's message from others. Its writer may be alive: what is copied counts only if the
// holders are of the same life before and after, or as a hint.
struct DirectMarks {
  uint64_t sequence;
  uint32_t source;
  uint8_t row;
  bool direct;
};

__attribute__((no_sanitize("thread"))) inline DirectMarks copy_marks(const layout::ChunkHeader& header) noexcept {
  const DirectMarks marks{header.sequence, header.source, header.publisher_row,
                          (header.flags & layout::kFlagDirect) != 0};
  std::atomic_thread_fence(std::memory_order_acquire);  // A(*): copied before whatever validates it.
  return marks;
}

// A chunk's header as it is at one moment, as far as a lane needs it: for a swap that finds these holders,
// or as a hint.
struct DirectCopy : DirectMarks {
  memory::Holders holders;
};

inline DirectCopy copy_direct(const layout::ChunkHeader& header) noexcept {
  const memory::Holders holders = memory::read_holders(header);
  return {copy_marks(header), holders};
}

// A direct entry of an agent's block.
struct DirectEntry {
  layout::DirectWord word;
  uint32_t source;
  base::Pair pair;
};

inline DirectEntry read_direct(const base::AtomicPair& entry) noexcept {
  // A(direct). Halves of two lives make no harm: whoever uses them compares the marks of the chunks.
  const uint64_t low = entry.low.load(std::memory_order_acquire);
  const uint64_t high = entry.high.load(std::memory_order_acquire);  // A(direct)
  return {layout::unpack_direct(low), static_cast<uint32_t>(high), {low, high}};
}

// Calls `visit(chunk number, copy)` for each chunk of the entry's slab that bears a message of its lane,
// held or released. False when there is no such slab. Bounded by the slab.
template <class Visit>
bool for_each_direct(const memory::ChunkMap& chunks, const DirectEntry& entry, Visit visit) noexcept {
  const auto first = static_cast<layout::ChunkId>(entry.word.slab << layout::kSlabIndexBits);
  if (chunks.find(first) == nullptr || entry.word.bit >= layout::kDeliveryCount) return false;
  for (uint32_t index = 0; index < chunks.slab_of(first).chunk_count; ++index) {
    const layout::ChunkHeader* header = chunks.find(first | index);
    if (header == nullptr) continue;
    const DirectCopy copy = copy_direct(*header);
    if (copy.direct && copy.source == entry.source && copy.row == entry.word.row) visit(first | index, copy);
  }
  return true;
}

inline bool has_bit(const DirectCopy& copy, uint32_t bit) noexcept { return ((copy.holders.bits >> bit) & 1) != 0; }

}  // namespace ripstop::control
