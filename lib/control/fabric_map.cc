#include "control/fabric_map.h"

#include <bit>
#include <string>

namespace ripstop::control {

namespace {

Error corrupt(const char* what) {
  return Error{Errc::Corrupt, 0, what, "the control segment contradicts itself",
               "end the fabric's supervisor and start it again"};
}

// `count` elements of `element_bytes` at `offset` lie within `total` bytes.
bool fits(uint64_t offset, uint64_t count, uint64_t element_bytes, uint64_t total) noexcept {
  return offset <= total && count <= (total - offset) / element_bytes;
}

}  // namespace

Result<FabricMap> FabricMap::create(std::span<const std::byte> control, std::span<const std::span<std::byte>> nodes) {
  if (control.size() < sizeof(layout::Superblock)) return corrupt("the control segment is shorter than its header");
  FabricMap map;
  map.superblock_ = reinterpret_cast<const layout::Superblock*>(control.data());
  const layout::Superblock& super = *map.superblock_;
  if (super.node_count != nodes.size() || nodes.empty() || super.class_count > layout::kClassCountMax) {
    return corrupt("the number of nodes or size classes does not match");
  }
  if (!fits(super.agents_offset, super.agent_capacity, sizeof(layout::AgentEntry), control.size()) ||
      !fits(super.rings_offset, super.ring_capacity, sizeof(layout::RingEntry), control.size())) {
    return corrupt("a table reaches beyond the control segment");
  }
  map.agents_ = reinterpret_cast<const layout::AgentEntry*>(control.data() + super.agents_offset);
  map.rings_ = reinterpret_cast<const layout::RingEntry*>(control.data() + super.rings_offset);
  map.ring_capacity_ = super.ring_capacity;
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    map.lane_slots_[lane] = super.lane_slots[lane];
    map.lane_offset_[lane] = super.lane_offset[lane];
    if (!std::has_single_bit(super.lane_slots[lane]) || super.lane_offset[lane] % base::kCacheLineBytes != 0 ||
        super.lane_offset[lane] < sizeof(layout::AgentBlock) ||
        !fits(super.lane_offset[lane], super.lane_slots[lane], sizeof(layout::Slot), super.agent_block_bytes)) {
      return corrupt("a lane does not fit into an agent's block");
    }
  }
  map.blocks_.assign(super.agent_capacity, nullptr);
  std::vector<memory::ChunkMap::Node> chunk_nodes;
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const layout::NodeGeometry& geometry = super.nodes[n];
    if (!fits(geometry.slab_table_offset, geometry.slab_count, sizeof(layout::SlabEntry), control.size()) ||
        !fits(geometry.agent_blocks_offset, geometry.agent_count, super.agent_block_bytes, nodes[n].size()) ||
        !fits(geometry.ring_arena_offset, geometry.ring_arena_bytes, 1, nodes[n].size()) ||
        geometry.agent_blocks_offset % base::kCacheLineBytes != 0 ||
        super.agent_block_bytes % base::kCacheLineBytes != 0 ||
        !fits(geometry.agent_first, geometry.agent_count, 1, super.agent_capacity)) {
      return corrupt("a part of a node segment reaches beyond it");
    }
    for (uint32_t i = 0; i < geometry.agent_count; ++i) {
      map.blocks_[geometry.agent_first + i] = reinterpret_cast<layout::AgentBlock*>(
          nodes[n].data() + geometry.agent_blocks_offset + uint64_t{i} * super.agent_block_bytes);
    }
    map.bases_.push_back(nodes[n].data());
    map.arenas_.push_back(nodes[n].subspan(geometry.ring_arena_offset, geometry.ring_arena_bytes));
    const auto* slabs = reinterpret_cast<const layout::SlabEntry*>(control.data() + geometry.slab_table_offset);
    chunk_nodes.push_back({nodes[n].data(), nodes[n].size(), geometry, {slabs, geometry.slab_count}});
  }
  auto chunks = memory::ChunkMap::create({super.classes, super.class_count}, chunk_nodes);
  if (!chunks) return chunks.error();
  map.chunks_ = std::move(*chunks);
  return map;
}

ring::MpmcRing FabricMap::lane(layout::AgentBlock& block, std::size_t lane) const noexcept {
  auto* slots = reinterpret_cast<layout::Slot*>(reinterpret_cast<std::byte*>(&block) + lane_offset_[lane]);
  return {slots, lane_slots_[lane], &block.front.tail_hint[lane], &block.back.head_hint[lane]};
}

std::byte* FabricMap::ring_place(const layout::RingEntry& entry, std::size_t header_bytes) const noexcept {
  if (entry.node_index >= arenas_.size() || entry.slot_bytes == 0 || !std::has_single_bit(entry.slot_count)) return nullptr;
  std::byte* place = bases_[entry.node_index] + entry.offset;
  const std::span<std::byte> arena = arenas_[entry.node_index];
  const auto arena_offset = static_cast<uint64_t>(arena.data() - bases_[entry.node_index]);
  if (entry.offset < arena_offset || entry.offset % base::kCacheLineBytes != 0) return nullptr;
  const uint64_t bytes = header_bytes + uint64_t{entry.slot_count} * entry.slot_bytes;
  if (!fits(entry.offset - arena_offset, bytes, 1, arena.size())) return nullptr;
  return place;
}

std::optional<FabricMap::Queue> FabricMap::queue(uint32_t ring_id) const noexcept {
  const layout::RingEntry* entry = ring_entry(ring_id);
  if (entry == nullptr || entry->kind != layout::RingKind::Queue || entry->slot_bytes != sizeof(layout::Slot)) return std::nullopt;
  std::byte* place = ring_place(*entry, sizeof(layout::RingBlock));
  if (place == nullptr) return std::nullopt;
  auto* block = reinterpret_cast<layout::RingBlock*>(place);
  return Queue{block,
               {reinterpret_cast<layout::Slot*>(place + sizeof(layout::RingBlock)), entry->slot_count,
                &block->front.tail_hint[0], &block->back.head_hint[0]},
               entry->word.load(std::memory_order_acquire) >> 2};  // A(directory)
}

std::optional<FabricMap::Channel> FabricMap::channel(uint32_t ring_id) const noexcept {
  const layout::RingEntry* entry = ring_entry(ring_id);
  if (entry == nullptr || entry->kind != layout::RingKind::Channel || entry->slot_bytes % base::kCacheLineBytes != 0) return std::nullopt;
  std::byte* place = ring_place(*entry, sizeof(layout::ChannelHeader));
  if (place == nullptr) return std::nullopt;
  return Channel{reinterpret_cast<layout::ChannelHeader*>(place), place + sizeof(layout::ChannelHeader),
                 entry->slot_count, entry->slot_bytes, entry->word.load(std::memory_order_acquire) >> 2};  // A(directory)
}

}  // namespace ripstop::control
