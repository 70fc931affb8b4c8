#include "layout/layout_hash.h"

#include <gtest/gtest.h>

namespace ripstop::layout {
namespace {

// Golden: these figures are the layout. Whoever changes one changes kAbiVersion too, and then the hash.
TEST(LayoutHash, TheSizesAreThoseOfAbiVersion1) {
  EXPECT_EQ(kAbiVersion, 1u);
  EXPECT_EQ(sizeof(ChunkHeader), 128u);
  EXPECT_EQ(sizeof(ReceiverNames), 256u);
  EXPECT_EQ(sizeof(Slot), 16u);
  EXPECT_EQ(sizeof(RingBlock), 128u);
  EXPECT_EQ(sizeof(ChannelHeader), 192u);
  EXPECT_EQ(sizeof(AgentBlock), 18112u);
  EXPECT_EQ(sizeof(AgentEntry), 192u);
  EXPECT_EQ(sizeof(TopicEntry), 320u);
  EXPECT_EQ(sizeof(SubscriptionEntry), 40u);
  EXPECT_EQ(sizeof(RingEntry), 136u);
}

TEST(LayoutHash, WhatOneSideWritesSharesNoLineWithWhatTheOtherWrites) {
  EXPECT_EQ(offsetof(AgentBlock, front) % 64, 0u);
  EXPECT_EQ(offsetof(AgentBlock, back) - offsetof(AgentBlock, front), 64u);
  EXPECT_EQ(offsetof(ChannelHeader, head) - offsetof(ChannelHeader, tail), 64u);
  EXPECT_EQ(offsetof(ChannelHeader, space_bell) - offsetof(ChannelHeader, head), 64u);
  EXPECT_EQ(offsetof(AgentBlock, held) % 16, 0u);
  EXPECT_EQ(offsetof(ChunkHeader, receivers), 64u) << "the second line";
}

TEST(LayoutHash, IsTheSameInEveryProcessOfThisBuild) {
  constexpr uint64_t first = layout_hash();
  EXPECT_EQ(first, layout_hash());
  EXPECT_NE(first, 0u);
}

TEST(LayoutHash, TheMagicsReadAsText) {
  const uint64_t control = kControlMagic;
  const uint64_t node = kNodeMagic;
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(&control), 8), "Rpsctrl1");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(&node), 8), "Rpsnode1");
}

}  // namespace
}  // namespace ripstop::layout
