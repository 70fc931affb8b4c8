#include "agent/source.h"

#include <gtest/gtest.h>

#include <vector>

namespace ripstop::detail {
namespace {

constexpr uint64_t kIncarnation = 9;
constexpr uint32_t kTaker = 3;

struct TestRing {
  explicit TestRing(uint32_t slot_count, bool shared = false)
      : slots(slot_count), ring(slots.data(), slot_count, &tail_hint, &back.head_hint[0]) {
    for (layout::Slot& each : slots) each.low.store(kIncarnation);
    source.emplace(ring, kIncarnation, back, 0, shared, true);
  }
  bool push(uint64_t value) { return ring.push(kIncarnation, value, 0, 0) == ring::Push::Ok; }
  Source::Look next() { return source->next(position, slot, kTaker); }
  std::vector<layout::Slot> slots;
  std::atomic<uint64_t> tail_hint{0};
  layout::RingBack back{};
  ring::MpmcRing ring;
  std::optional<Source> source;
  uint64_t position = 0;
  ring::SlotView slot{0, 0};
};

class SourceTest : public testing::TestWithParam<bool> {};

TEST_P(SourceTest, GivesMessagesInOrderAndTheirSlotsBack) {
  TestRing test(4, GetParam());
  EXPECT_EQ(test.next(), Source::Look::Nothing);
  for (uint64_t value = 1; value <= 40; ++value) {
    ASSERT_TRUE(test.push(value));
    EXPECT_TRUE(test.source->has_mail());
    ASSERT_EQ(test.next(), Source::Look::Found);
    EXPECT_EQ(test.slot.low, value);
    EXPECT_TRUE(test.source->give_back(test.position, test.slot));
    EXPECT_EQ(test.back.head_hint[0].load(), value) << "all below has been given back";
    EXPECT_FALSE(test.source->has_mail());
  }
}

TEST_P(SourceTest, TheOldestInHandIsInTheWayHalfARingOn) {
  TestRing test(8, GetParam());
  for (uint64_t value = 1; value <= 8; ++value) ASSERT_TRUE(test.push(value));
  std::vector<std::pair<uint64_t, ring::SlotView>> in_hand;
  while (test.next() == Source::Look::Found) in_hand.emplace_back(test.position, test.slot);
  EXPECT_EQ(in_hand.size(), 4u);
  EXPECT_EQ(test.next(), Source::Look::InTheWay);
  EXPECT_TRUE(test.source->give_back(in_hand[1].first, in_hand[1].second));
  EXPECT_EQ(test.next(), Source::Look::InTheWay) << "the oldest is there still";
  EXPECT_TRUE(test.source->give_back(in_hand[0].first, in_hand[0].second));
  EXPECT_EQ(test.source->oldest(), 2u);
  EXPECT_EQ(test.next(), Source::Look::Found);
}

TEST_P(SourceTest, ARingOfOneSlotIsTakenFrom) {
  TestRing test(1, GetParam());
  for (uint64_t value = 1; value <= 5; ++value) {
    ASSERT_TRUE(test.push(value));
    ASSERT_EQ(test.next(), Source::Look::Found);
    EXPECT_TRUE(test.source->give_back(test.position, test.slot));
  }
}

// The hint lies where any agent can write; it is told, never asked.
TEST_P(SourceTest, AScribbledHintDoesNotLeadTheTakerAstray) {
  for (const uint64_t scribble : {uint64_t{0}, uint64_t{3}, uint64_t{1'000'000}, ~uint64_t{0}}) {
    TestRing test(8, GetParam());
    for (uint64_t value = 1; value <= 30; ++value) {
      test.back.head_hint[0].store(scribble);
      ASSERT_TRUE(test.push(value));
      ASSERT_EQ(test.next(), Source::Look::Found) << scribble;
      EXPECT_TRUE(test.source->give_back(test.position, test.slot));
    }
  }
}

TEST_P(SourceTest, LookingBehindAlwaysGetsOn) {
  TestRing test(8, GetParam());
  for (uint64_t value = 1; value <= 8; ++value) ASSERT_TRUE(test.push(value));
  while (test.next() == Source::Look::Found) {
  }
  // Nothing was given back, and nobody has them in hand: the slots contradict the books.
  int rounds = 0;
  while (test.next() == Source::Look::InTheWay && rounds < 100) {
    test.source->look_behind();
    ++rounds;
  }
  EXPECT_LE(rounds, 8);
  for (int i = 0; i < 20; ++i) test.source->look_behind();
  EXPECT_LE(test.source->oldest(), 8u) << "never beyond the head";
}

INSTANTIATE_TEST_SUITE_P(InPlaceAndShared, SourceTest, testing::Bool());

// Publishers evicted the head and what was behind it, and pushed there again.
TEST(SharedSource, GoesOverWhatWasEvictedAndPushedAgain) {
  TestRing test(4, true);
  for (uint64_t value = 1; value <= 4; ++value) ASSERT_TRUE(test.push(value));
  for (uint64_t value = 5; value <= 7; ++value) {
    const ring::Tail tail = test.ring.find_tail(kIncarnation);
    ring::SlotView view = tail.slot;
    ASSERT_TRUE(test.ring.take(tail.position, view, layout::kOwnerDropped));
    ASSERT_TRUE(test.ring.finish(tail.position, view, kIncarnation));
    ASSERT_TRUE(test.push(value));
  }
  for (uint64_t value = 4; value <= 7; ++value) {
    ASSERT_EQ(test.next(), Source::Look::Found);
    EXPECT_EQ(test.slot.low, value);
    EXPECT_TRUE(test.source->give_back(test.position, test.slot));
    EXPECT_EQ(test.source->oldest(), value) << "the books follow over refilled slots";
  }
  EXPECT_EQ(test.next(), Source::Look::Nothing);
}

TEST(SharedSource, AMessageThatAPublisherMovedAwayIsNotGivenBackHere) {
  TestRing test(2, true);
  ASSERT_TRUE(test.push(1));
  ASSERT_EQ(test.next(), Source::Look::Found);
  ASSERT_TRUE(test.ring.finish(test.position, test.slot, kIncarnation));  // As evict_oldest() does.
  EXPECT_FALSE(test.source->give_back(test.position, test.slot));
  EXPECT_EQ(test.source->oldest(), 1u);
}

}  // namespace
}  // namespace ripstop::detail
