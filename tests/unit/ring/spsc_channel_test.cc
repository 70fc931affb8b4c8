#include "ring/spsc_channel.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace ripstop::ring {
namespace {

constexpr uint32_t kSlotCount = 4;
constexpr uint32_t kSlotBytes = 128;

class SpscChannelTest : public testing::Test {
 protected:
  SpscChannel end() { return {header_, slots_, kSlotCount, kSlotBytes}; }
  layout::ChannelSlot& slot(uint64_t position) {
    return *reinterpret_cast<layout::ChannelSlot*>(slots_ + position % kSlotCount * kSlotBytes);
  }
  static void send(SpscChannel& producer, uint64_t value) {
    std::memcpy(producer.next_payload(), &value, sizeof value);
    producer.push(sizeof value, 3);
  }
  static uint64_t front(SpscChannel& consumer) {
    uint64_t value = 0;
    std::memcpy(&value, consumer.front_payload(), sizeof value);
    return value;
  }
  layout::ChannelHeader header_{};
  alignas(64) std::byte slots_[kSlotCount * kSlotBytes]{};
};

TEST_F(SpscChannelTest, GivesMessagesBackInOrderOverManyLaps) {
  SpscChannel producer = end();
  SpscChannel consumer = end();
  ASSERT_TRUE(producer.open_producer());
  ASSERT_TRUE(consumer.open_consumer());
  EXPECT_FALSE(consumer.has_message());
  for (uint64_t value = 1; value < 100; ++value) {
    ASSERT_TRUE(producer.has_room());
    send(producer, value);
    ASSERT_TRUE(consumer.has_message());
    EXPECT_EQ(consumer.front().payload_bytes, 8u);
    EXPECT_EQ(consumer.front().content_type, 3u);
    EXPECT_EQ(front(consumer), value);
    consumer.pop();
  }
}

TEST_F(SpscChannelTest, HoldsExactlyItsSlots) {
  SpscChannel producer = end();
  SpscChannel consumer = end();
  ASSERT_TRUE(producer.open_producer() && consumer.open_consumer());
  for (uint64_t value = 1; value <= kSlotCount; ++value) {
    ASSERT_TRUE(producer.has_room());
    send(producer, value);
  }
  EXPECT_FALSE(producer.has_room());
  EXPECT_FALSE(producer.corrupt());
  consumer.pop();
  EXPECT_TRUE(producer.has_room());
}

TEST_F(SpscChannelTest, APayloadFillsTheSlotBehindItsHead) {
  EXPECT_EQ(end().payload_bytes_max(), kSlotBytes - sizeof(layout::ChannelSlot));
}

TEST_F(SpscChannelTest, ANewConsumerGetsAgainWhatWasNotReleased) {
  SpscChannel producer = end();
  ASSERT_TRUE(producer.open_producer());
  for (uint64_t value = 1; value <= 3; ++value) send(producer, value);
  SpscChannel first = end();
  ASSERT_TRUE(first.open_consumer());
  first.pop();
  SpscChannel second = end();
  ASSERT_TRUE(second.open_consumer());
  ASSERT_TRUE(second.has_message());
  EXPECT_EQ(front(second), 2u);
  EXPECT_TRUE(second.front_is_old());
  second.pop();
  second.pop();
  send(producer, 4);
  ASSERT_TRUE(second.has_message());
  EXPECT_FALSE(second.front_is_old()) << "sent after it came";
}

TEST_F(SpscChannelTest, ANewProducerGoesOnAfterTheLast) {
  {
    SpscChannel producer = end();
    ASSERT_TRUE(producer.open_producer());
    send(producer, 1);
  }
  SpscChannel producer = end();
  ASSERT_TRUE(producer.open_producer());
  EXPECT_EQ(producer.next(), 1u);
  send(producer, 2);
  SpscChannel consumer = end();
  ASSERT_TRUE(consumer.open_consumer());
  EXPECT_EQ(front(consumer), 1u);
  consumer.pop();
  ASSERT_TRUE(consumer.has_message());
  EXPECT_EQ(front(consumer), 2u);
}

// A producer that died after the slot's sequence, which commits, and before the tail.
class SpscChannelLaggingTail : public SpscChannelTest, public testing::WithParamInterface<uint64_t> {
 protected:
  void SetUp() override {
    SpscChannel producer = end();
    SpscChannel consumer = end();
    ASSERT_TRUE(producer.open_producer() && consumer.open_consumer());
    for (uint64_t value = 1; value <= GetParam(); ++value) {
      send(producer, value);
      if (value < GetParam()) consumer.pop();
    }
    header_.tail.store(GetParam() - 1);
  }
};

TEST_P(SpscChannelLaggingTail, TheNextProducerDoesNotOverwriteTheCommittedMessage) {
  SpscChannel producer = end();
  ASSERT_TRUE(producer.open_producer());
  EXPECT_EQ(producer.next(), GetParam());
}

TEST_P(SpscChannelLaggingTail, AConsumerThatTookItLeavesNoContradiction) {
  {
    SpscChannel consumer = end();
    ASSERT_TRUE(consumer.open_consumer());
    ASSERT_TRUE(consumer.has_message());
    consumer.pop();
  }
  SpscChannel consumer = end();
  EXPECT_TRUE(consumer.open_consumer()) << "head is one ahead of the tail";
  EXPECT_FALSE(consumer.has_message());
  EXPECT_FALSE(consumer.front_is_old());
  SpscChannel producer = end();
  ASSERT_TRUE(producer.open_producer());
  send(producer, 77);
  ASSERT_TRUE(consumer.has_message());
  EXPECT_EQ(front(consumer), 77u);
}

INSTANTIATE_TEST_SUITE_P(Positions, SpscChannelLaggingTail, testing::Values(1u, 3u, 4u, 5u, 8u));

TEST_F(SpscChannelTest, IndicesThatContradictOneAnotherAreReported) {
  header_.head.store(9);
  header_.tail.store(2);
  EXPECT_FALSE(end().open_producer());
  EXPECT_FALSE(end().open_consumer());
  header_.head.store(1);
  header_.tail.store(7);
  EXPECT_FALSE(end().open_producer());
  EXPECT_FALSE(end().open_consumer());
}

TEST_F(SpscChannelTest, AConsumersIndexThatJumpsIsNotedAndGivesNoRoom) {
  SpscChannel producer = end();
  ASSERT_TRUE(producer.open_producer());
  for (uint64_t value = 1; value <= kSlotCount; ++value) send(producer, value);
  header_.head.store(1000);
  EXPECT_FALSE(producer.has_room());
  EXPECT_TRUE(producer.corrupt());
}

}  // namespace
}  // namespace ripstop::ring
