// Method: sends are staged up to the push, so that nobody rings; the doorbell's word says who was rung.
#include "control/sleepers.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "fabric/fake_fabric.h"
#include "fabric/staged_send.h"
#include "ring/doorbell.h"
#include "ring/spsc_channel.h"

namespace ripstop::control {
namespace {

using fabric::FakeFabric;
using fabric::FakeShape;
using fabric::StagedSend;

constexpr uint32_t kPublisher = 1;
constexpr uint32_t kReceiver = 2;

class SleepersTest : public testing::Test {
 protected:
  void SetUp() override {
    fabric_.attach(kPublisher);
    fabric_.attach(kReceiver);
    fabric_.superblock().agent_high.store(8);
    fabric_.superblock().ring_high.store(3);
    heap_.emplace(fabric_.chunks(), 0, kPublisher, fabric_.incarnation(kPublisher));
  }

  void push(uint32_t ring_id = 0) {
    StagedSend send(fabric_, *heap_, kPublisher, {kReceiver}, 2, ring_id);
    ASSERT_TRUE(send.whole());
  }
  bool is_rung() { return (fabric_.block(kReceiver).front.doorbell.load() & layout::kDoorbellRung) != 0; }
  // What the receiver does with the message at its head, but keeps it in hand.
  void wake_and_sleep_again() {
    sleeper_.disarm();
    sleeper_.arm();
  }
  // And gives it back.
  void release(uint64_t position) {
    auto lane = fabric_.lane(kReceiver, 2);
    lane.empty(position, fabric_.incarnation(kReceiver));
    lane.head_hint().store(position + 1);
  }

  FakeFabric fabric_;
  std::optional<memory::SlabHeap> heap_;
  Sleepers sleepers_{fabric_.map()};
  ring::Sleeper sleeper_{fabric_.block(kReceiver).front.doorbell};
};

TEST_F(SleepersTest, WhoSleepsOnAMessageThatNobodyRangForIsRung) {
  sleeper_.arm();
  EXPECT_EQ(sleepers_.ring(), 0u);
  push();
  EXPECT_EQ(sleepers_.ring(), 1u);
  EXPECT_TRUE(is_rung());
  EXPECT_TRUE(sleeper_.wait(1'000'000'000));
  EXPECT_EQ(sleepers_.ring(), 0u);  // Once a sleep is enough.
}

TEST_F(SleepersTest, WhoIsAwakeIsLeftAlone) {
  push();
  EXPECT_EQ(sleepers_.ring(), 0u);
  sleeper_.arm();
  sleeper_.disarm();
  push();
  EXPECT_EQ(sleepers_.ring(), 0u);
}

TEST_F(SleepersTest, AMessageInHandIsNoReasonToWakeItsTakerAgainAndAgain) {
  sleeper_.arm();
  push();
  EXPECT_EQ(sleepers_.ring(), 1u);
  for (int i = 0; i < 5; ++i) {
    wake_and_sleep_again();
    EXPECT_EQ(sleepers_.ring(), 0u) << i;
    EXPECT_EQ(sleepers_.ring(), 0u) << i;
  }
  push();  // Behind it.
  EXPECT_EQ(sleepers_.ring(), 1u);
  wake_and_sleep_again();
  EXPECT_EQ(sleepers_.ring(), 0u);
}

TEST_F(SleepersTest, WhatCameInTheSameSleepAsTheLastLookIsNotTakenForSeen) {
  sleeper_.arm();
  push();
  release(0);  // Taken by another look of the same sleep: nothing lies there.
  EXPECT_EQ(sleepers_.ring(), 0u);
  push();
  EXPECT_EQ(sleepers_.ring(), 1u);
}

TEST_F(SleepersTest, AnEmptiedInboxIsEmpty) {
  for (uint64_t i = 0; i < 10; ++i) {
    sleeper_.arm();
    push();
    release(i);
    EXPECT_EQ(sleepers_.ring(), 0u);
    sleeper_.disarm();
  }
}

TEST_F(SleepersTest, ARingOfItsOwnWakesItsOwner) {
  fabric_.open_queue(1, kReceiver);
  sleeper_.arm();
  EXPECT_EQ(sleepers_.ring(), 0u);
  push(1);
  EXPECT_EQ(sleepers_.ring(), 1u);
}

TEST_F(SleepersTest, ASuccessorInTheSamePlaceIsAnother) {
  sleeper_.arm();
  push();
  EXPECT_EQ(sleepers_.ring(), 1u);
  fabric_.kill(kReceiver);
  auto settlement = fabric_.settlement();
  settlement.settle(kReceiver, fabric_.incarnation(kReceiver), {});
  EXPECT_EQ(sleepers_.ring(), 0u);
  fabric_.attach(kReceiver);
  settlement.open_inbox(kReceiver, fabric_.incarnation(kReceiver));
  sleeper_.arm();
  push();
  EXPECT_EQ(sleepers_.ring(), 1u);
}

TEST_F(SleepersTest, AnUnfinishedSendIsSeenUntilItsIntentIsCleared) {
  StagedSend send(fabric_, *heap_, kPublisher, {kReceiver});
  ASSERT_TRUE(send.loan() && send.name());
  EXPECT_FALSE(sleepers_.is_anyone_sending());
  send.intend();
  EXPECT_TRUE(sleepers_.is_anyone_sending());
  send.commit();
  const uint64_t before = sleepers_.push_count();
  ASSERT_EQ(send.push(0), ring::Push::Ok);
  EXPECT_NE(sleepers_.push_count(), before);
  EXPECT_TRUE(sleepers_.is_anyone_sending());
  send.end();
  EXPECT_FALSE(sleepers_.is_anyone_sending());
}

TEST_F(SleepersTest, ScribbledMemoryEndsEveryLook) {
  // A step out of bounds is a fault here; a walk without an end is the test's timeout.
  std::mt19937_64 random(4711);
  layout::AgentBlock& block = fabric_.block(kReceiver);
  for (int i = 0; i < 20'000; ++i) {
    sleeper_.arm();
    const std::size_t lane = random() % layout::kLaneCount;
    block.front.tail_hint[lane].store(random());
    block.back.head_hint[lane].store(random());
    layout::Slot& slot = fabric_.lane(kReceiver, lane).slot(random() % 4);
    slot.low.store(random());
    slot.high.store(random());
    (void)sleepers_.ring();
    (void)sleepers_.is_anyone_sending();
    (void)sleepers_.push_count();
  }
}

// --- channels -------------------------------------------------------------------------------------------

class ChannelSleepersTest : public testing::Test {
 protected:
  static constexpr uint32_t kChannel = 1;
  static constexpr uint32_t kSlotCount = 4;

  void SetUp() override {
    fabric_.attach(kPublisher);
    fabric_.attach(kReceiver);
    fabric_.superblock().agent_high.store(8);
    fabric_.superblock().ring_high.store(2);
    layout::RingEntry& entry = fabric_.ring_entry(kChannel);
    entry.kind = layout::RingKind::Channel;
    entry.slot_bytes = 64;
    entry.slot_count = kSlotCount;
    entry.owner = kReceiver;
    entry.producer = kPublisher;
    entry.word.store((uint64_t{1} << 2) | layout::kRingInUse);
    channel_ = fabric_.map().channel(kChannel);
    ASSERT_TRUE(channel_);
    ring_.emplace(*channel_->header, channel_->slots, channel_->slot_count, channel_->slot_bytes);
    ASSERT_TRUE(ring_->open_producer());
  }
  bool is_rung(const std::atomic<uint32_t>& bell) { return (bell.load() & layout::kDoorbellRung) != 0; }

  FakeFabric fabric_{FakeShape{1, 8, {{256, 8, 4}}, {4, 4, 4, 4, 4}, 2, 64}};
  std::optional<FabricMap::Channel> channel_;
  std::optional<ring::SpscChannel> ring_;
  Sleepers sleepers_{fabric_.map()};
};

TEST_F(ChannelSleepersTest, AReceiverThatSleepsOnAMessageIsRungOnceASleep) {
  ring::Sleeper sleeper(channel_->header->doorbell);
  sleeper.arm();
  EXPECT_EQ(sleepers_.ring(), 0u) << "nothing is there";
  ring_->push(8, 0);
  EXPECT_EQ(sleepers_.ring(), 1u);
  EXPECT_TRUE(is_rung(channel_->header->doorbell));
  EXPECT_EQ(sleepers_.ring(), 0u);
  sleeper.disarm();
  EXPECT_EQ(sleepers_.ring(), 0u) << "awake";
}

TEST_F(ChannelSleepersTest, AlsoWhenItsSenderDidNotComeToMoveTheTail) {
  ring::Sleeper(channel_->header->doorbell).arm();
  ring_->push(8, 0);
  channel_->header->tail.store(0);
  EXPECT_EQ(sleepers_.ring(), 1u);
}

TEST_F(ChannelSleepersTest, ASenderThatSleepsThoughThereIsRoomIsRung) {
  for (uint32_t i = 0; i < kSlotCount; ++i) ring_->push(8, 0);
  ring::Sleeper(channel_->header->space_bell).arm();
  EXPECT_EQ(sleepers_.ring(), 0u) << "full";
  channel_->header->head.store(1);
  EXPECT_EQ(sleepers_.ring(), 1u);
  EXPECT_TRUE(is_rung(channel_->header->space_bell));
}

TEST_F(ChannelSleepersTest, WhoIsInTheMiddleOfItKeepsTheTickGoingWhileItLives) {
  EXPECT_FALSE(sleepers_.is_anyone_sending());
  channel_->header->sending.store(1);
  EXPECT_TRUE(sleepers_.is_anyone_sending());
  channel_->header->sending.store(0);
  channel_->header->releasing.store(1);
  EXPECT_TRUE(sleepers_.is_anyone_sending());
  fabric_.kill(kReceiver);
  EXPECT_FALSE(sleepers_.is_anyone_sending());
}

TEST_F(ChannelSleepersTest, WhatIsSentAndGivenBackCountsAsPushed) {
  const uint64_t before = sleepers_.push_count();
  ring_->push(8, 0);
  EXPECT_NE(sleepers_.push_count(), before);
}

TEST_F(ChannelSleepersTest, IndicesThatMakeNoSenseCostAWakeAtMost) {
  ring::Sleeper(channel_->header->doorbell).arm();
  ring::Sleeper(channel_->header->space_bell).arm();
  channel_->header->head.store(~uint64_t{0});
  channel_->header->tail.store(uint64_t{1} << 63);
  EXPECT_LE(sleepers_.ring(), 2u);
}

}  // namespace
}  // namespace ripstop::control
