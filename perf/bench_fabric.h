// A fabric's memory without its supervisor, touched before the first measurement: for benches of what
// lies below the control calls.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fabric/fake_fabric.h"
#include "memory/slab_heap.h"

namespace ripstop::perf {

struct BenchShape {
  std::vector<uint32_t> payload_bytes{256, 4096, 65536};  // Of the size classes, ascending.
  uint32_t slab_count = 4;                                // Of each class; a slab has 64 chunks.
  uint32_t lane_slots = 256;
};

// One lane of an agent's inbox, and where its taker is.
struct Lane {
  ring::MpmcRing ring;
  uint64_t incarnation;
  uint64_t head;
};

class BenchFabric {
 public:
  explicit BenchFabric(const BenchShape& shape = {}) : fabric_(fake_shape(shape)) {
    for (const uint32_t agent_id : {1u, 2u}) fabric_.attach(agent_id);
    volatile std::byte* bytes = fabric_.node_bytes(0).data();
    for (std::size_t at = 0; at < fabric_.node_bytes(0).size(); at += 4096) bytes[at] = bytes[at];
  }

  const memory::ChunkMap& chunks() const noexcept { return fabric_.chunks(); }
  // Agents 1 and 2.
  layout::AgentBlock& block(uint32_t agent_id) { return fabric_.block(agent_id); }
  Lane lane(uint32_t agent_id) {
    ring::MpmcRing ring = fabric_.lane(agent_id, 2);
    // Relaxed: nobody else is here yet.
    return {ring, fabric_.incarnation(agent_id), ring.head_hint().load(std::memory_order_relaxed)};
  }
  std::unique_ptr<memory::SlabHeap> heap(uint32_t agent_id) {
    return std::make_unique<memory::SlabHeap>(chunks(), 0, agent_id, fabric_.incarnation(agent_id));
  }

 private:
  static fabric::FakeShape fake_shape(const BenchShape& shape) {
    fabric::FakeShape fake;
    fake.agents_per_node = 3;
    fake.classes.clear();
    for (const uint32_t bytes : shape.payload_bytes)
      fake.classes.push_back({bytes, layout::kSlabChunksMax, shape.slab_count});
    fake.lane_slots.fill(shape.lane_slots);
    return fake;
  }
  fabric::FakeFabric fabric_;
};

}  // namespace ripstop::perf
