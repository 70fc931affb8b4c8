// Where everything will lie: the sizes and offsets of a fabric's segments, from its configuration.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layout/control_segment.h"
#include "ripstop/result.h"
#include "supervisor/config.h"
#include "topology/numa_topology.h"

namespace ripstop::supervisor {

struct NodePlan {
  layout::NodeGeometry geometry{};
  std::vector<layout::SlabEntry> slabs;
};

struct Geometry {
  std::vector<layout::ClassGeometry> classes;
  std::vector<NodePlan> nodes;
  uint32_t agent_capacity = 0;
  uint32_t topic_capacity = 0;
  uint32_t topic_bucket_count = 0;
  uint32_t subscription_capacity = 0;
  uint32_t ring_capacity = 0;
  uint32_t agent_block_bytes = 0;
  uint32_t lane_slots[layout::kLaneCount] = {};
  uint32_t lane_offset[layout::kLaneCount] = {};
  uint64_t agents_offset = 0;
  uint64_t topics_offset = 0;
  uint64_t buckets_offset = 0;
  uint64_t subscriptions_offset = 0;
  uint64_t rings_offset = 0;
  uint64_t routes_offset = 0;
  uint64_t routes_bytes = 0;
  uint32_t letter_capacity = 0;
  uint64_t letters_offset = 0;
  uint64_t control_bytes = 0;

  uint64_t total_bytes() const noexcept;
};

// Shape:  agents, chunks and the ring arena are divided among the nodes, each rounded up to whole
//         slabs and lines. Segments are not yet rounded up to pages.
// Errors: ConfigValue (more slabs on a node than a chunk's number can name; more nodes than 16).
Result<Geometry> plan_geometry(const Config& config, std::span<const topology::NumaNode> nodes);

}  // namespace ripstop::supervisor
