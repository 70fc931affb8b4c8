// Method: a control segment is written by hand, with one node, one class and few entries; each test
// damages one word of it behind the view's back.
#include "control/control_view.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "base/name_hash.h"
#include "layout/agent_block.h"
#include "layout/layout_hash.h"

namespace ripstop::control {
namespace {

constexpr std::size_t kBytes = 64 * 1024;
constexpr uint32_t kRoutesOffset = 32 * 1024;
constexpr uint32_t kRouteUnits = 64;

class ControlViewTest : public testing::Test {
 protected:
  void SetUp() override {
    memory_ = std::unique_ptr<std::byte, Free>(static_cast<std::byte*>(std::aligned_alloc(4096, kBytes)));
    std::memset(memory_.get(), 0, kBytes);
    layout::Superblock& super = this->super();
    super.magic = layout::kControlMagic;
    super.layout_hash = layout::layout_hash();
    super.abi_version = layout::kAbiVersion;
    super.node_count = 1;
    super.control_bytes = kBytes;
    super.class_count = 1;
    super.classes[0] = {256, 384, 4, 2};
    super.agent_capacity = 4;
    super.topic_capacity = 8;
    super.topic_bucket_count = 8;
    super.subscription_capacity = 4;
    super.ring_capacity = 4;
    uint32_t offset = sizeof(layout::AgentBlock);
    for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
      super.lane_slots[lane] = 4;
      super.lane_offset[lane] = offset;
      offset += 64;
    }
    super.agent_block_bytes = offset;
    super.agents_offset = 4096;
    super.topics_offset = 8192;
    super.buckets_offset = 12288;
    super.subscriptions_offset = 13312;
    super.rings_offset = 14336;
    super.routes_offset = kRoutesOffset;
    super.routes_bytes = kRouteUnits * layout::kRouteUnitBytes;
    layout::NodeGeometry& node = super.nodes[0];
    node.segment_bytes = 1 << 20;
    node.slab_owners_offset = 64;
    node.agent_blocks_offset = 4096;
    node.agent_first = 1;
    node.agent_count = 3;
    node.ring_arena_offset = 256 * 1024;
    node.ring_arena_bytes = 64 * 1024;
    node.slab_table_offset = 16384;
    node.slab_count = 2;
    slab(0) = {512 * 1024, 0, 0};
    slab(1) = {520 * 1024, 0, 0};
  }

  layout::Superblock& super() { return *reinterpret_cast<layout::Superblock*>(memory_.get()); }
  layout::SlabEntry& slab(uint32_t i) { return reinterpret_cast<layout::SlabEntry*>(memory_.get() + 16384)[i]; }
  layout::TopicEntry& topic(uint32_t i) { return reinterpret_cast<layout::TopicEntry*>(memory_.get() + 8192)[i]; }
  layout::RouteHeader& route(uint32_t unit) {
    return *reinterpret_cast<layout::RouteHeader*>(memory_.get() + kRoutesOffset + unit * layout::kRouteUnitBytes);
  }
  Result<ControlView> open() { return ControlView::open({memory_.get(), kBytes}); }
  Errc refused() {
    const auto view = open();
    return view ? Errc{} : view.error().code;
  }

  void add_topic(uint32_t id, std::string_view name) {
    layout::TopicEntry& entry = topic(id);
    entry.hash = base::name_hash(name);
    entry.name_bytes = static_cast<uint32_t>(name.size());
    name.copy(entry.name, sizeof entry.name - 1);
    entry.state.store(1);
    auto* buckets = reinterpret_cast<layout::TopicBucket*>(memory_.get() + 12288);
    layout::TopicBucket& bucket = buckets[ControlView::bucket_of(entry.hash, 8)];
    entry.next = bucket.load();
    bucket.store(id + 1);
  }

  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
};

TEST_F(ControlViewTest, ASoundSegmentOpens) {
  const auto view = open();
  ASSERT_TRUE(view) << to_string(view.error());
  EXPECT_EQ(view->nodes().size(), 1u);
  EXPECT_EQ(view->slab_entries(0).size(), 2u);
  EXPECT_TRUE(view->slab_entries(1).empty());
  EXPECT_NE(view->agent_entry(3), nullptr);
  EXPECT_EQ(view->agent_entry(4), nullptr);
  EXPECT_EQ(view->topic_entry(8), nullptr);
  EXPECT_EQ(view->subscription_entry(4), nullptr);
  EXPECT_EQ(view->ring_entry(~0u), nullptr);
}

TEST_F(ControlViewTest, AnotherVersionIsNamedOnBothSides) {
  super().abi_version = 99;
  const auto view = open();
  ASSERT_FALSE(view);
  EXPECT_EQ(view.error().code, Errc::AbiMismatch);
  EXPECT_NE(view.error().what.find("version 99"), std::string::npos);
  EXPECT_NE(view.error().what.find("version " + std::to_string(layout::kAbiVersion)), std::string::npos);
  super().abi_version = layout::kAbiVersion;
  super().layout_hash ^= 1;
  EXPECT_EQ(refused(), Errc::LayoutMismatch);
}

TEST_F(ControlViewTest, WhatLiesOutsideIsCorrupt) {
  const auto damaged = [&](auto& word, auto value) {
    const auto before = word;
    word = static_cast<std::remove_reference_t<decltype(word)>>(value);
    const bool corrupt = refused() == Errc::Corrupt;
    word = before;
    return corrupt;
  };
  EXPECT_TRUE(damaged(super().magic, 0));
  EXPECT_TRUE(damaged(super().control_bytes, kBytes + 1));
  EXPECT_TRUE(damaged(super().node_count, 0));
  EXPECT_TRUE(damaged(super().node_count, 17));
  EXPECT_TRUE(damaged(super().class_count, 13));
  EXPECT_TRUE(damaged(super().agent_capacity, ~0u));
  EXPECT_TRUE(damaged(super().topic_capacity, ~0u));
  EXPECT_TRUE(damaged(super().topic_bucket_count, 7));
  EXPECT_TRUE(damaged(super().topic_bucket_count, 1u << 31));
  EXPECT_TRUE(damaged(super().subscription_capacity, ~0u));
  EXPECT_TRUE(damaged(super().ring_capacity, ~0u));
  EXPECT_TRUE(damaged(super().agents_offset, ~uint64_t{0} - 7));
  EXPECT_TRUE(damaged(super().agents_offset, 4097));
  EXPECT_TRUE(damaged(super().topics_offset, kBytes));
  EXPECT_TRUE(damaged(super().rings_offset, ~uint64_t{7}));
  EXPECT_TRUE(damaged(super().routes_offset, kBytes));
  EXPECT_TRUE(damaged(super().routes_bytes, ~uint64_t{0}));
  EXPECT_TRUE(damaged(super().lane_slots[2], 3));
  EXPECT_TRUE(damaged(super().lane_slots[4], 1u << 30));
  EXPECT_TRUE(damaged(super().lane_offset[0], 0));
  EXPECT_TRUE(damaged(super().nodes[0].slab_count, ~0u));
  EXPECT_TRUE(damaged(super().nodes[0].slab_table_offset, kBytes - 8));
  EXPECT_TRUE(damaged(super().nodes[0].agent_count, 4));
  EXPECT_TRUE(damaged(super().nodes[0].agent_blocks_offset, ~uint64_t{63}));
  EXPECT_TRUE(damaged(super().nodes[0].ring_arena_bytes, 1 << 20));
  EXPECT_TRUE(damaged(super().nodes[0].segment_bytes, 4096));
  EXPECT_TRUE(damaged(slab(1).class_index, 1));
  EXPECT_TRUE(damaged(slab(1).offset, 1 << 20));
  EXPECT_TRUE(open());
  EXPECT_FALSE(ControlView::open({memory_.get(), 100}));
}

TEST_F(ControlViewTest, TopicsAreFoundByNameAlsoBesideOthersInTheirBucket) {
  for (uint32_t id = 0; id < 8; ++id) add_topic(id, "topic." + std::to_string(id));
  const auto view = open();
  ASSERT_TRUE(view);
  for (uint32_t id = 0; id < 8; ++id) {
    EXPECT_EQ(view->find_topic("topic." + std::to_string(id)), id);
    EXPECT_EQ(view->topic_name(id), "topic." + std::to_string(id));
  }
  EXPECT_EQ(view->find_topic("topic.8"), std::nullopt);
}

TEST_F(ControlViewTest, AListOfTopicsThatBitesItsTailEnds) {
  add_topic(0, "a");
  topic(0).next = 1;
  topic(0).hash ^= 1;  // Not the one that is looked for.
  const auto view = open();
  EXPECT_EQ(view->find_topic("a"), std::nullopt);
  topic(0).next = ~0u;
  EXPECT_EQ(view->find_topic("a"), std::nullopt);
}

TEST_F(ControlViewTest, ARouteIsCopiedWhole) {
  add_topic(2, "a");
  route(1).version = 7;
  route(1).topic_id = 2;
  route(1).receiver_count = 3;
  auto* receivers = reinterpret_cast<layout::RouteReceiver*>(&route(1) + 1);
  for (uint32_t i = 0; i < 3; ++i) receivers[i].agent = i + 10;
  topic(2).route.store(uint64_t{7} << 32 | 1);
  const auto view = open();
  std::vector<layout::RouteReceiver> copy;
  ASSERT_TRUE(view->copy_route(2, copy));
  ASSERT_EQ(copy.size(), 3u);
  EXPECT_EQ(copy[2].agent, 12u);
  topic(2).route.store(uint64_t{8} << 32);
  ASSERT_TRUE(view->copy_route(2, copy));
  EXPECT_TRUE(copy.empty());
}

TEST_F(ControlViewTest, ARouteThatContradictsItsTopicIsNotCopied) {
  add_topic(2, "a");
  const auto view = open();
  std::vector<layout::RouteReceiver> copy;
  const auto copied = [&](uint64_t version, uint32_t topic_id, uint32_t count, uint64_t word) {
    route(1) = {version, topic_id, count, 2, 0, {}};
    topic(2).route.store(word);
    return view->copy_route(2, copy);
  };
  constexpr uint64_t kWord = uint64_t{7} << 32 | 1;
  EXPECT_TRUE(copied(7, 2, 1, kWord));
  EXPECT_FALSE(copied(6, 2, 1, kWord));
  EXPECT_FALSE(copied(7, 3, 1, kWord));
  EXPECT_FALSE(copied(7, 2, ~0u, kWord));
  EXPECT_FALSE(copied(7, 2, 1, uint64_t{7} << 32 | kRouteUnits));
  EXPECT_FALSE(view->copy_route(8, copy));
}

}  // namespace
}  // namespace ripstop::control
