// Where chunks lie, as this process maps them: a private copy of the slab tables, checked once, so
// that nothing on the hot path trusts an offset from shared memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "layout/chunk_header.h"
#include "layout/control_segment.h"
#include "layout/node_segment.h"
#include "ripstop/result.h"

namespace ripstop::memory {

// One slab. Never changes: a slab stays a slab of its class.
struct SlabPlace {
  std::byte* first;  // Header of its first chunk.
  uint32_t stride_bytes;
  uint16_t class_index;
  uint16_t chunk_count;
};

class ChunkMap {
 public:
  // Shape:  one segment base and slab table per node, in node order; `classes` are the superblock's.
  // Errors: Corrupt (a table entry reaches beyond its segment).
  struct Node {
    std::byte* base;
    std::size_t bytes;
    layout::NodeGeometry geometry;
    std::span<const layout::SlabEntry> slabs;
  };
  static Result<ChunkMap> create(std::span<const layout::ClassGeometry> classes, std::span<const Node> nodes);

  // The chunk's header, or null when there is no such chunk.
  layout::ChunkHeader* find(layout::ChunkId id) const noexcept {
    const uint32_t node = layout::chunk_node(id);
    if (node >= node_first_.size() - 1) return nullptr;
    const std::size_t slab = node_first_[node] + layout::chunk_slab(id);
    if (slab >= node_first_[node + 1]) return nullptr;
    const SlabPlace& place = slabs_[slab];
    const uint32_t index = layout::chunk_index(id);
    if (index >= place.chunk_count) return nullptr;
    return reinterpret_cast<layout::ChunkHeader*>(place.first + std::size_t{index} * place.stride_bytes);
  }

  // The slab a chunk belongs to. `id` names a chunk that find() knows.
  const SlabPlace& slab_of(layout::ChunkId id) const noexcept {
    return slabs_[node_first_[layout::chunk_node(id)] + layout::chunk_slab(id)];
  }
  const SlabPlace& slab(uint32_t node, uint32_t slab) const noexcept { return slabs_[node_first_[node] + slab]; }
  layout::SlabOwner& slab_owner(uint32_t node, uint32_t slab) const noexcept { return owners_[node][slab]; }

  uint32_t node_count() const noexcept { return static_cast<uint32_t>(owners_.size()); }
  uint32_t slab_count(uint32_t node) const noexcept {
    return static_cast<uint32_t>(node_first_[node + 1] - node_first_[node]);
  }
  std::span<const layout::ClassGeometry> classes() const noexcept { return classes_; }
  uint32_t payload_bytes(uint32_t class_index) const noexcept { return classes_[class_index].payload_bytes; }
  // The smallest class that holds `payload_bytes`; class count when none does.
  uint32_t class_for(std::size_t payload_bytes) const noexcept {
    uint32_t index = 0;
    while (index < classes_.size() && classes_[index].payload_bytes < payload_bytes) ++index;
    return index;
  }

 private:
  std::vector<layout::ClassGeometry> classes_;
  std::vector<SlabPlace> slabs_;
  std::vector<std::size_t> node_first_;  // node_count + 1 entries.
  std::vector<layout::SlabOwner*> owners_;
};

}  // namespace ripstop::memory
