// Where everything lies in the node segments, as this process maps them. Built from the control
// segment's geometry, which is checked once; afterwards a number from shared memory either names
// something inside the maps or gets a null.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "layout/agent_block.h"
#include "layout/control_segment.h"
#include "memory/chunk_map.h"
#include "ring/mpmc_ring.h"
#include "ripstop/result.h"

namespace ripstop::control {

// Lifetime: ends before the maps it was made of.
class FabricMap {
 public:
  // Shape:  `control` the control segment, `nodes` one span per node, in node order.
  // Errors: Corrupt (an offset or capacity reaches beyond its segment).
  static Result<FabricMap> create(std::span<const std::byte> control, std::span<const std::span<std::byte>> nodes);

  const memory::ChunkMap& chunks() const noexcept { return *chunks_; }
  const layout::Superblock& superblock() const noexcept { return *superblock_; }

  // The agent's block, or null when there is no such id.
  layout::AgentBlock* block(uint32_t agent_id) const noexcept {
    return agent_id < blocks_.size() ? blocks_[agent_id] : nullptr;
  }
  uint32_t agent_capacity() const noexcept { return static_cast<uint32_t>(blocks_.size()); }
  uint32_t lane_slots(std::size_t lane) const noexcept { return lane_slots_[lane]; }
  ring::MpmcRing lane(layout::AgentBlock& block, std::size_t lane) const noexcept;

  // A ring of its own: its place and geometry from the ring directory, bounded.
  struct Queue {
    layout::RingBlock* block;
    ring::MpmcRing ring;
    uint64_t incarnation;
  };
  std::optional<Queue> queue(uint32_t ring_id) const noexcept;

  struct Channel {
    layout::ChannelHeader* header;
    std::byte* slots;
    uint32_t slot_count;
    uint32_t slot_bytes;
    uint64_t incarnation;
  };
  std::optional<Channel> channel(uint32_t ring_id) const noexcept;

  // The directory entry, or null when there is no such id.
  const layout::RingEntry* ring_entry(uint32_t ring_id) const noexcept {
    return ring_id < ring_capacity_ ? &rings_[ring_id] : nullptr;
  }
  const layout::AgentEntry* agent_entry(uint32_t agent_id) const noexcept {
    return agent_id < blocks_.size() ? &agents_[agent_id] : nullptr;
  }

 private:
  FabricMap() = default;
  std::byte* ring_place(const layout::RingEntry& entry, std::size_t header_bytes) const noexcept;

  const layout::Superblock* superblock_ = nullptr;
  const layout::AgentEntry* agents_ = nullptr;
  const layout::RingEntry* rings_ = nullptr;
  uint32_t ring_capacity_ = 0;
  std::optional<memory::ChunkMap> chunks_;
  std::vector<layout::AgentBlock*> blocks_;
  std::vector<std::span<std::byte>> arenas_;  // Per node.
  std::vector<std::byte*> bases_;
  uint32_t lane_slots_[layout::kLaneCount] = {};
  uint32_t lane_offset_[layout::kLaneCount] = {};
};

}  // namespace ripstop::control
