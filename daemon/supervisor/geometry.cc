#include "supervisor/geometry.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/cache_line.h"
#include "layout/agent_block.h"
#include "layout/chunk_header.h"
#include "layout/node_segment.h"

namespace ripstop::supervisor {

namespace {

using base::kCacheLineBytes;
using base::round_up;

// Hands out offsets one behind the other.
class Cursor {
 public:
  uint64_t take(uint64_t bytes, uint64_t alignment = kCacheLineBytes) noexcept {
    const uint64_t at = round_up(end_, alignment);
    end_ = at + bytes;
    return at;
  }
  uint64_t end() const noexcept { return end_; }

 private:
  uint64_t end_ = 0;
};

uint64_t divide_up(uint64_t value, uint64_t parts) noexcept { return (value + parts - 1) / parts; }

layout::ClassGeometry plan_class(const ChunkClass& wanted, uint64_t slab_bytes, uint64_t node_count) {
  const uint64_t stride = round_up(wanted.payload_bytes + layout::kChunkHeaderBytes, kCacheLineBytes);
  const uint64_t slab_chunks = std::clamp<uint64_t>(slab_bytes / stride, 1, layout::kSlabChunksMax);
  const uint64_t slab_count = divide_up(divide_up(wanted.chunk_count, node_count), slab_chunks);
  return {static_cast<uint32_t>(wanted.payload_bytes), static_cast<uint32_t>(stride),
          static_cast<uint32_t>(slab_chunks), static_cast<uint32_t>(slab_count)};
}

void plan_agent_block(Geometry& plan, const Config& config) {
  Cursor cursor;
  cursor.take(sizeof(layout::AgentBlock));
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    plan.lane_slots[lane] = static_cast<uint32_t>(config.lanes[lane]);
    plan.lane_offset[lane] = static_cast<uint32_t>(cursor.take(config.lanes[lane] * sizeof(layout::Slot)));
  }
  plan.agent_block_bytes = static_cast<uint32_t>(round_up(cursor.end(), kCacheLineBytes));
}

void plan_slabs(Cursor& cursor, NodePlan& node, const std::vector<layout::ClassGeometry>& classes) {
  for (uint32_t index = 0; index < classes.size(); ++index) {
    const uint64_t slab_bytes = uint64_t{classes[index].stride_bytes} * classes[index].slab_chunks;
    for (uint32_t i = 0; i < classes[index].slab_count; ++i) {
      node.slabs.push_back({cursor.take(slab_bytes), index, 0});
    }
  }
}

void plan_control(Geometry& plan) {
  Cursor cursor;
  cursor.take(sizeof(layout::Superblock));
  plan.agents_offset = cursor.take(uint64_t{plan.agent_capacity} * sizeof(layout::AgentEntry), 4096);
  plan.topics_offset = cursor.take(uint64_t{plan.topic_capacity} * sizeof(layout::TopicEntry));
  plan.buckets_offset = cursor.take(uint64_t{plan.topic_bucket_count} * sizeof(layout::TopicBucket));
  plan.subscriptions_offset = cursor.take(uint64_t{plan.subscription_capacity} * sizeof(layout::SubscriptionEntry));
  plan.rings_offset = cursor.take(uint64_t{plan.ring_capacity} * sizeof(layout::RingEntry));
  plan.letters_offset = cursor.take(uint64_t{plan.letter_capacity} * sizeof(layout::LetterEntry));
  for (NodePlan& node : plan.nodes) {
    node.geometry.slab_table_offset = cursor.take(node.slabs.size() * sizeof(layout::SlabEntry));
  }
  plan.routes_offset = cursor.take(plan.routes_bytes);
  plan.control_bytes = round_up(cursor.end(), 4096);
}

Error too_much(const char* key, std::string why) {
  return {Errc::ConfigValue, 0, std::string("\"") + key + "\" asks for more than there can be", std::move(why),
          "configure less"};
}

}  // namespace

uint64_t Geometry::total_bytes() const noexcept {
  uint64_t total = control_bytes;
  for (const NodePlan& node : nodes) total += node.geometry.segment_bytes;
  return total;
}

Result<Geometry> plan_geometry(const Config& config, std::span<const topology::NumaNode> nodes) {
  if (nodes.empty() || nodes.size() > layout::kNodeCountMax) {
    return too_much("numa", std::to_string(nodes.size()) + " nodes, 1 to 16 are possible: set it to \"off\"");
  }
  Geometry plan;
  plan.agent_capacity = static_cast<uint32_t>(config.agents) + 1;  // Entry 0 is the supervisor's.
  plan.topic_capacity = static_cast<uint32_t>(config.topics);
  plan.topic_bucket_count = std::bit_ceil(plan.topic_capacity);
  // Subscription 0 and ring 0 mean: none.
  plan.subscription_capacity = static_cast<uint32_t>(config.subscriptions) + 1;
  plan.ring_capacity = static_cast<uint32_t>(config.rings) + 1;
  plan.letter_capacity = static_cast<uint32_t>(config.dead_letters);
  plan.routes_bytes = round_up(config.route_arena_bytes, layout::kRouteUnitBytes);
  for (const ChunkClass& each : config.classes) {
    plan.classes.push_back(plan_class(each, config.slab_bytes, nodes.size()));
  }
  plan_agent_block(plan, config);

  uint32_t agent_next = 1;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    NodePlan node;
    layout::NodeGeometry& geometry = node.geometry;
    const uint64_t agents_left = plan.agent_capacity - agent_next;
    geometry.agent_first = agent_next;
    geometry.agent_count = static_cast<uint32_t>(divide_up(agents_left, nodes.size() - i));
    agent_next += geometry.agent_count;
    for (const auto& each : plan.classes) geometry.slab_count += each.slab_count;
    if (geometry.slab_count > layout::kNodeSlabsMax) {
      return too_much("classes", std::to_string(geometry.slab_count) + " slabs on a node, " +
                                     std::to_string(layout::kNodeSlabsMax) + " are possible: raise slab_bytes");
    }
    Cursor cursor;
    cursor.take(sizeof(layout::NodeHeader));
    geometry.slab_owners_offset = cursor.take(geometry.slab_count * sizeof(layout::SlabOwner));
    geometry.agent_blocks_offset = cursor.take(uint64_t{geometry.agent_count} * plan.agent_block_bytes, 4096);
    geometry.ring_arena_bytes = round_up(config.ring_arena_bytes / nodes.size(), kCacheLineBytes);
    geometry.ring_arena_offset = cursor.take(geometry.ring_arena_bytes, 4096);
    geometry.slabs_offset = cursor.take(0, 4096);
    plan_slabs(cursor, node, plan.classes);
    geometry.segment_bytes = cursor.end();
    geometry.numa_node = nodes[i].os_index;
    plan.nodes.push_back(std::move(node));
  }
  plan_control(plan);
  return plan;
}

}  // namespace ripstop::supervisor
