#include "memory/chunk_map.h"

#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "fabric/fake_fabric.h"

namespace ripstop::memory {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;

TEST(ChunkMap, FindsEveryChunkAtAPlaceOfItsOwn) {
  FakeShape shape;
  shape.node_count = 2;
  FakeFabric fabric(shape);
  const ChunkMap& chunks = fabric.chunks();
  std::set<layout::ChunkHeader*> places;
  for (uint32_t node = 0; node < 2; ++node) {
    EXPECT_EQ(chunks.slab_count(node), 6u);
    for (uint32_t slab = 0; slab < chunks.slab_count(node); ++slab) {
      for (uint32_t index = 0; index < chunks.slab(node, slab).chunk_count; ++index) {
        layout::ChunkHeader* header = chunks.find(layout::make_chunk_id(node, slab, index));
        ASSERT_NE(header, nullptr);
        EXPECT_EQ(reinterpret_cast<uintptr_t>(header) % 64, 0u);
        EXPECT_TRUE(places.insert(header).second);
      }
    }
  }
  EXPECT_EQ(places.size(), 2 * (4 * 8 + 2 * 4u));
}

TEST(ChunkMap, WhatDoesNotExistIsNull) {
  FakeFabric fabric;
  const ChunkMap& chunks = fabric.chunks();
  EXPECT_EQ(chunks.find(layout::make_chunk_id(1, 0, 0)), nullptr) << "no such node";
  EXPECT_EQ(chunks.find(layout::make_chunk_id(15, (1u << 18) - 1, 63)), nullptr);
  EXPECT_EQ(chunks.find(layout::make_chunk_id(0, 6, 0)), nullptr) << "no such slab";
  EXPECT_EQ(chunks.find(layout::make_chunk_id(0, 0, 8)), nullptr) << "no such chunk in the slab";
  EXPECT_EQ(chunks.find(layout::make_chunk_id(0, 4, 4)), nullptr) << "slabs of the other class have 4";
}

TEST(ChunkMap, ChoosesTheSmallestClassThatHolds) {
  FakeFabric fabric;
  EXPECT_EQ(fabric.chunks().class_for(0), 0u);
  EXPECT_EQ(fabric.chunks().class_for(256), 0u);
  EXPECT_EQ(fabric.chunks().class_for(257), 1u);
  EXPECT_EQ(fabric.chunks().class_for(1024), 1u);
  EXPECT_EQ(fabric.chunks().class_for(1025), 2u) << "none: the class count";
}

// Tables that contradict their segment, one defect each.
class ChunkMapDefect : public testing::Test {
 protected:
  using Classes = std::vector<layout::ClassGeometry>;
  using Slabs = std::vector<layout::SlabEntry>;
  Result<ChunkMap> create_with(const std::function<void(Classes&, Slabs&, layout::NodeGeometry&)>& defect) {
    Classes classes = {{256, 384, 4, 2}, {512, 640, 2, 1}};
    Slabs slabs = {{1024, 0, 0}, {2560, 0, 0}, {4096, 1, 0}};
    layout::NodeGeometry geometry{};
    geometry.slab_owners_offset = 64;
    geometry.slab_count = 3;
    defect(classes, slabs, geometry);
    const ChunkMap::Node node{bytes_, sizeof bytes_, geometry, slabs};
    return ChunkMap::create(classes, {&node, 1});
  }
  alignas(64) std::byte bytes_[8192]{};
};

TEST_F(ChunkMapDefect, WithoutOneItIsTaken) {
  EXPECT_TRUE(create_with([](Classes&, Slabs&, layout::NodeGeometry&) {}));
}

TEST_F(ChunkMapDefect, IsRefusedAsCorrupt) {
  const std::function<void(Classes&, Slabs&, layout::NodeGeometry&)> defects[] = {
      [](Classes& classes, Slabs&, layout::NodeGeometry&) { classes.clear(); },
      [](Classes& classes, Slabs&, layout::NodeGeometry&) { classes[0].payload_bytes = 255; },
      [](Classes& classes, Slabs&, layout::NodeGeometry&) { classes[0].slab_chunks = 0; },
      [](Classes& classes, Slabs&, layout::NodeGeometry&) { classes[0].slab_chunks = 65; },
      [](Classes& classes, Slabs&, layout::NodeGeometry&) { classes[0].stride_bytes = 320; },
      [](Classes& classes, Slabs&, layout::NodeGeometry&) { classes[0].stride_bytes = 400; },
      [](Classes& classes, Slabs&, layout::NodeGeometry&) { classes[0].payload_bytes = ~0u; },
      [](Classes& classes, Slabs&, layout::NodeGeometry&) { classes[1].payload_bytes = 256; },
      [](Classes&, Slabs& slabs, layout::NodeGeometry&) { slabs[1].class_index = 2; },
      [](Classes&, Slabs& slabs, layout::NodeGeometry&) { slabs[1].offset = 2561; },
      [](Classes&, Slabs& slabs, layout::NodeGeometry&) { slabs[2].offset = 8192 - 640; },
      [](Classes&, Slabs& slabs, layout::NodeGeometry&) { slabs[2].offset = ~uint64_t{63}; },
      [](Classes&, Slabs&, layout::NodeGeometry& geometry) { geometry.slab_owners_offset = 8192 - 16; },
      [](Classes&, Slabs&, layout::NodeGeometry& geometry) { geometry.slab_owners_offset = 65; },
      [](Classes&, Slabs&, layout::NodeGeometry& geometry) { geometry.slab_owners_offset = ~uint64_t{7}; },
  };
  int number = 0;
  for (const auto& defect : defects) {
    const auto map = create_with(defect);
    ASSERT_FALSE(map) << "defect " << number;
    EXPECT_EQ(map.error().code, Errc::Corrupt);
    ++number;
  }
}

TEST_F(ChunkMapDefect, MoreNodesOrSlabsThanANumberNamesAreRefused) {
  std::vector<layout::ClassGeometry> classes = {{256, 384, 4, 2}};
  layout::NodeGeometry geometry{};
  const std::vector<ChunkMap::Node> nodes(layout::kNodeCountMax + 1, {bytes_, sizeof bytes_, geometry, {}});
  EXPECT_FALSE(ChunkMap::create(classes, nodes));
}

}  // namespace
}  // namespace ripstop::memory
