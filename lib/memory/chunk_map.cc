#include "memory/chunk_map.h"

#include <string>

namespace ripstop::memory {

namespace {

Error corrupt(std::string what) {
  return Error{Errc::Corrupt, 0, std::move(what), "the control segment contradicts itself",
               "end the fabric's supervisor and start it again"};
}

}  // namespace

Result<ChunkMap> ChunkMap::create(std::span<const layout::ClassGeometry> classes, std::span<const Node> nodes) {
  ChunkMap map;
  map.classes_.assign(classes.begin(), classes.end());
  for (std::size_t i = 0; i < classes.size(); ++i) {
    const layout::ClassGeometry& geometry = classes[i];
    const bool sound = geometry.slab_chunks >= 1 && geometry.slab_chunks <= layout::kSlabChunksMax &&
                       geometry.stride_bytes % base::kCacheLineBytes == 0 &&
                       geometry.stride_bytes >= uint64_t{geometry.payload_bytes} + layout::kChunkHeaderBytes &&
                       (i == 0 || geometry.payload_bytes > classes[i - 1].payload_bytes);
    if (!sound) return corrupt("size class " + std::to_string(i) + " has an impossible geometry");
  }
  if (classes.empty() || classes[0].payload_bytes < sizeof(layout::ReceiverNames)) {
    return corrupt("the smallest size class cannot hold a receiver list");
  }
  if (nodes.size() > layout::kNodeCountMax) return corrupt("there are more nodes than a chunk's number can name");
  map.node_first_.push_back(0);
  for (std::size_t n = 0; n < nodes.size(); ++n) {
    const Node& node = nodes[n];
    const uint64_t owners_offset = node.geometry.slab_owners_offset;
    if (owners_offset % sizeof(layout::SlabOwner) != 0 || owners_offset > node.bytes ||
        node.slabs.size() > (node.bytes - owners_offset) / sizeof(layout::SlabOwner) ||
        node.slabs.size() > layout::kNodeSlabsMax) {
      return corrupt("node " + std::to_string(n) + "'s slab owner words lie outside its segment");
    }
    map.owners_.push_back(reinterpret_cast<layout::SlabOwner*>(node.base + node.geometry.slab_owners_offset));
    for (const layout::SlabEntry& entry : node.slabs) {
      if (entry.class_index >= classes.size()) return corrupt("a slab names an unknown size class");
      const layout::ClassGeometry& geometry = classes[entry.class_index];
      const uint64_t slab_bytes = uint64_t{geometry.stride_bytes} * geometry.slab_chunks;
      if (entry.offset % base::kCacheLineBytes != 0 || entry.offset > node.bytes ||
          slab_bytes > node.bytes - entry.offset) {
        return corrupt("a slab of node " + std::to_string(n) + " reaches beyond its segment");
      }
      map.slabs_.push_back({node.base + entry.offset, geometry.stride_bytes, static_cast<uint16_t>(entry.class_index),
                            static_cast<uint16_t>(geometry.slab_chunks)});
    }
    map.node_first_.push_back(map.slabs_.size());
  }
  return map;
}

}  // namespace ripstop::memory
