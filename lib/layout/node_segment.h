// A node segment: memory of one NUMA node that every agent maps read-write.
//
//   [NodeHeader][slab owner words][agent blocks][ring arena][slabs ...]
//
// Where each part lies stands in the control segment (NodeGeometry), which agents cannot write.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "layout/words.h"

namespace ripstop::layout {

inline constexpr uint64_t kNodeMagic = 0x31'65646f'6e737052;  // "Rpsnode1", little-endian.

struct NodeHeader {
  uint64_t magic;
  uint64_t layout_hash;
  uint32_t node_index;
  uint32_t reserved0;
  uint64_t segment_bytes;
  uint8_t reserved1[32];
};
static_assert(sizeof(NodeHeader) == 64);

// make_slab_owner(); agent 0: free. Taken by compare-and-swap, given back by its owner or by recovery.
using SlabOwner = std::atomic<uint64_t>;
static_assert(sizeof(SlabOwner) == 8);

}  // namespace ripstop::layout
