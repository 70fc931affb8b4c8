#include "fabric/fake_fabric.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "layout/layout_hash.h"
#include "layout/node_segment.h"
#include "memory/holders.h"

namespace ripstop::fabric {

namespace {

constexpr std::size_t kPageBytes = 4096;

uint64_t line_up(uint64_t value) { return base::round_up(value, base::kCacheLineBytes); }

}  // namespace

FakeSegment::FakeSegment(std::size_t bytes)
    : fd_(memfd_create("fake_fabric", MFD_CLOEXEC)), mapped_bytes_(base::round_up(bytes, kPageBytes)), bytes_(bytes) {
  RIPSTOP_CHECK(fd_ >= 0 && ftruncate(fd_, static_cast<off_t>(mapped_bytes_)) == 0);
  first_ = map();
}

FakeSegment::~FakeSegment() {
  unmap(first_);
  if (!second_.empty()) unmap(second_);
  close(fd_);
}

std::span<std::byte> FakeSegment::map() const {
  void* room = mmap(nullptr, mapped_bytes_ + 2 * kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  RIPSTOP_CHECK(room != MAP_FAILED);
  void* place = mmap(static_cast<std::byte*>(room) + kPageBytes, mapped_bytes_, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_FIXED, fd_, 0);
  RIPSTOP_CHECK(place != MAP_FAILED);
  return {static_cast<std::byte*>(place), bytes_};
}

void FakeSegment::unmap(std::span<std::byte> view) const {
  munmap(view.data() - kPageBytes, mapped_bytes_ + 2 * kPageBytes);
}

std::span<std::byte> FakeSegment::second_bytes() {
  if (second_.empty()) second_ = map();
  return second_;
}

FakeFabric::FakeFabric(const FakeShape& shape) {
  const uint32_t agent_capacity = shape.node_count * shape.agents_per_node;
  uint64_t block_bytes = sizeof(layout::AgentBlock);
  std::array<uint32_t, layout::kLaneCount> lane_offset{};
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    lane_offset[lane] = static_cast<uint32_t>(block_bytes);
    block_bytes = line_up(block_bytes + shape.lane_slots[lane] * sizeof(layout::Slot));
  }
  std::vector<layout::ClassGeometry> classes;
  uint32_t slab_count = 0;
  for (const FakeClass& wanted : shape.classes) {
    const auto stride = static_cast<uint32_t>(line_up(wanted.payload_bytes + layout::kChunkHeaderBytes));
    classes.push_back({wanted.payload_bytes, stride, wanted.slab_chunks, wanted.slab_count});
    slab_count += wanted.slab_count;
  }

  // The control segment.
  const uint64_t agents_offset = line_up(sizeof(layout::Superblock));
  const uint64_t rings_offset = line_up(agents_offset + agent_capacity * sizeof(layout::AgentEntry));
  const uint64_t slabs_offset = line_up(rings_offset + (shape.queue_count + 1) * sizeof(layout::RingEntry));
  const uint64_t control_bytes = slabs_offset + shape.node_count * slab_count * sizeof(layout::SlabEntry);
  control_ = std::make_unique<FakeSegment>(control_bytes);
  layout::Superblock& super = superblock();
  super.magic = layout::kControlMagic;
  super.layout_hash = layout::layout_hash();
  super.abi_version = layout::kAbiVersion;
  super.node_count = shape.node_count;
  super.control_bytes = control_bytes;
  super.class_count = static_cast<uint32_t>(classes.size());
  super.agent_capacity = agent_capacity;
  super.ring_capacity = shape.queue_count + 1;
  super.agent_block_bytes = static_cast<uint32_t>(block_bytes);
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    super.lane_slots[lane] = shape.lane_slots[lane];
    super.lane_offset[lane] = lane_offset[lane];
  }
  super.agents_offset = agents_offset;
  super.rings_offset = rings_offset;
  std::copy(classes.begin(), classes.end(), super.classes);

  // The node segments.
  const uint64_t ring_bytes = line_up(sizeof(layout::RingBlock) + shape.queue_slots * sizeof(layout::Slot));
  for (uint32_t node = 0; node < shape.node_count; ++node) {
    layout::NodeGeometry& geometry = super.nodes[node];
    geometry.slab_count = slab_count;
    geometry.agent_first = node * shape.agents_per_node;
    geometry.agent_count = shape.agents_per_node;
    geometry.slab_owners_offset = sizeof(layout::NodeHeader);
    geometry.agent_blocks_offset = line_up(geometry.slab_owners_offset + slab_count * sizeof(layout::SlabOwner));
    geometry.ring_arena_offset = geometry.agent_blocks_offset + shape.agents_per_node * block_bytes;
    geometry.ring_arena_bytes = (shape.queue_count + 1) * ring_bytes;
    geometry.slabs_offset = geometry.ring_arena_offset + geometry.ring_arena_bytes;
    geometry.slab_table_offset = slabs_offset + node * slab_count * sizeof(layout::SlabEntry);
    auto* slabs = reinterpret_cast<layout::SlabEntry*>(control_->bytes().data() + geometry.slab_table_offset);
    uint64_t offset = geometry.slabs_offset;
    uint32_t slab = 0;
    for (uint32_t class_index = 0; class_index < classes.size(); ++class_index) {
      for (uint32_t i = 0; i < classes[class_index].slab_count; ++i, ++slab) {
        slabs[slab] = {offset, class_index, 0};
        offset += uint64_t{classes[class_index].stride_bytes} * classes[class_index].slab_chunks;
      }
    }
    geometry.segment_bytes = offset;
    nodes_.push_back(std::make_unique<FakeSegment>(offset));
  }
  for (uint32_t ring_id = 1; ring_id <= shape.queue_count; ++ring_id) {
    layout::RingEntry& entry = ring_entry(ring_id);
    entry.node_index = ring_id % shape.node_count;
    entry.offset = super.nodes[entry.node_index].ring_arena_offset + ring_id * ring_bytes;
    entry.slot_count = shape.queue_slots;
    entry.slot_bytes = sizeof(layout::Slot);
    entry.kind = layout::RingKind::Queue;
  }
  map_ = make_map(false);
  for (uint32_t node = 0; node < shape.node_count; ++node) {
    for (uint32_t slab = 0; slab < slab_count; ++slab) {
      for (uint32_t index = 0; index < chunks().slab(node, slab).chunk_count; ++index) {
        chunks().find(layout::make_chunk_id(node, slab, index))->holders.low.store(1);
      }
    }
  }
}

control::FabricMap FakeFabric::make_map(bool second) {
  std::vector<std::span<std::byte>> nodes;
  for (const auto& node : nodes_) nodes.push_back(second ? node->second_bytes() : node->bytes());
  auto map = control::FabricMap::create(second ? control_->second_bytes() : control_->bytes(), nodes);
  if (!map) std::fprintf(stderr, "%s\n", to_string(map.error()).c_str());
  return std::move(*map);
}

const control::FabricMap& FakeFabric::second_map() {
  if (!second_map_) second_map_ = make_map(true);
  return *second_map_;
}

layout::AgentEntry& FakeFabric::entry(uint32_t agent_id) {
  return reinterpret_cast<layout::AgentEntry*>(control_->bytes().data() + superblock().agents_offset)[agent_id];
}

layout::RingEntry& FakeFabric::ring_entry(uint32_t ring_id) {
  return reinterpret_cast<layout::RingEntry*>(control_->bytes().data() + superblock().rings_offset)[ring_id];
}

uint64_t FakeFabric::attach(uint32_t agent_id) {
  const uint64_t incarnation = next_incarnation_++;
  settlement().open_inbox(agent_id, incarnation);
  entry(agent_id).word.store(layout::make_agent_word(incarnation, layout::AgentState::Live));
  return incarnation;
}

void FakeFabric::kill(uint32_t agent_id) {
  entry(agent_id).word.store(layout::make_agent_word(incarnation(agent_id), layout::AgentState::Dead));
}

uint64_t FakeFabric::incarnation(uint32_t agent_id) { return layout::agent_word_incarnation(entry(agent_id).word.load()); }

uint64_t FakeFabric::open_queue(uint32_t ring_id, uint32_t owner) {
  const uint64_t incarnation = next_incarnation_++;
  layout::RingEntry& entry = ring_entry(ring_id);
  entry.owner = owner;
  entry.owner_incarnation = this->incarnation(owner);
  RIPSTOP_CHECK(settlement().open_queue(ring_id, incarnation));
  entry.word.store((incarnation << 2) | 1);
  return incarnation;
}

Census FakeFabric::census() const {
  Census census;
  for (uint32_t node = 0; node < chunks().node_count(); ++node) {
    for (uint32_t slab = 0; slab < chunks().slab_count(node); ++slab) {
      for (uint32_t index = 0; index < chunks().slab(node, slab).chunk_count; ++index) {
        const uint64_t bits = memory::read_holders(*chunks().find(layout::make_chunk_id(node, slab, index))).bits;
        if (bits == 0) ++census.free_count;
        else if (bits == layout::kPublisherHold) ++census.loaned_count;
        else if (bits == layout::kLinkHold) ++census.linked_count;
        else if (bits == layout::kClosing) ++census.closing_count;
        else ++census.held_count;
      }
    }
  }
  return census;
}

std::vector<std::byte> FakeFabric::snapshot() {
  std::vector<std::byte> all;
  for (const auto& node : nodes_) all.insert(all.end(), node->bytes().begin(), node->bytes().end());
  return all;
}

}  // namespace ripstop::fabric
