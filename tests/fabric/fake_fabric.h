// A small fabric without a supervisor: control segment and node segments in memory of this process,
// so that everything below the control connection can be tested on real layout.
//
// Each segment is a memfd with an unmapped page on either side: a step beyond it is a SIGSEGV, not luck.
// second_map() shows the same memory at other addresses, as another process would see it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/fabric_map.h"
#include "control/settlement.h"

namespace ripstop::fabric {

struct FakeClass {
  uint32_t payload_bytes;
  uint32_t slab_chunks;
  uint32_t slab_count;  // On each node.
};

struct FakeShape {
  uint32_t node_count = 1;
  uint32_t agents_per_node = 8;  // Agent 0, the supervisor's, is one of the first node's.
  std::vector<FakeClass> classes = {{256, 8, 4}, {1024, 4, 2}};
  std::array<uint32_t, layout::kLaneCount> lane_slots = {4, 4, 4, 4, 4};
  uint32_t queue_count = 2;  // Ring ids 1 ..= this, spread over the nodes.
  uint32_t queue_slots = 4;
};

// How many chunks are in which state, over all nodes.
struct Census {
  uint32_t free_count = 0;
  uint32_t loaned_count = 0;   // The publisher's bit alone.
  uint32_t linked_count = 0;   // The link's bit alone.
  uint32_t closing_count = 0;
  uint32_t held_count = 0;     // Anything else.
  uint32_t total() const { return free_count + loaned_count + linked_count + closing_count + held_count; }
};

// One segment, mapped up to twice.
class FakeSegment {
 public:
  explicit FakeSegment(std::size_t bytes);
  FakeSegment(const FakeSegment&) = delete;
  FakeSegment& operator=(const FakeSegment&) = delete;
  ~FakeSegment();

  std::span<std::byte> bytes() const { return first_; }
  std::span<std::byte> second_bytes();

 private:
  std::span<std::byte> map() const;
  void unmap(std::span<std::byte> view) const;

  int fd_ = -1;
  std::size_t mapped_bytes_ = 0;
  std::size_t bytes_ = 0;
  std::span<std::byte> first_;
  std::span<std::byte> second_;
};

class FakeFabric {
 public:
  explicit FakeFabric(const FakeShape& shape = {});

  const control::FabricMap& map() const { return *map_; }
  const control::FabricMap& second_map();
  const memory::ChunkMap& chunks() const { return map_->chunks(); }
  layout::Superblock& superblock() { return *reinterpret_cast<layout::Superblock*>(control_->bytes().data()); }
  layout::AgentEntry& entry(uint32_t agent_id);
  layout::RingEntry& ring_entry(uint32_t ring_id);
  layout::AgentBlock& block(uint32_t agent_id) { return *map_->block(agent_id); }
  ring::MpmcRing lane(uint32_t agent_id, std::size_t lane) { return map_->lane(block(agent_id), lane); }
  std::span<std::byte> node_bytes(uint32_t node) { return nodes_[node]->bytes(); }

  control::Settlement settlement() { return control::Settlement(*map_); }

  // What the supervisor does to its entry at attach, at a death and after it was settled.
  uint64_t attach(uint32_t agent_id);
  void kill(uint32_t agent_id);
  uint64_t incarnation(uint32_t agent_id);
  // As messages name an agent's inbox, and a ring of its own.
  uint32_t name(uint32_t agent_id) { return layout::make_receiver(agent_id, incarnation(agent_id)); }
  uint32_t ring_name(uint32_t ring_id) { return layout::make_receiver(ring_entry(ring_id).owner, map_->queue(ring_id)->incarnation); }
  // Gives a ring of its own to an agent. Returns the ring's incarnation.
  uint64_t open_queue(uint32_t ring_id, uint32_t owner);

  Census census() const;
  uint32_t chunk_count() const { return census().total(); }
  // The bytes of all node segments, to compare before and after.
  std::vector<std::byte> snapshot();

 private:
  control::FabricMap make_map(bool second);

  std::unique_ptr<FakeSegment> control_;
  std::vector<std::unique_ptr<FakeSegment>> nodes_;
  std::optional<control::FabricMap> map_;
  std::optional<control::FabricMap> second_map_;
  uint64_t next_incarnation_ = 100;
};

}  // namespace ripstop::fabric
