#include "ring/mpmc_ring.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace ripstop::ring {
namespace {

using layout::Phase;

constexpr uint64_t kIncarnation = 41;
constexpr uint32_t kTaker = 3;

// A ring whose first position is `start`, as reopening leaves it.
struct TestRing {
  explicit TestRing(uint32_t slot_count, uint64_t start = 0)
      : slots(slot_count), ring(slots.data(), slot_count, &tail_hint, &head_hint), head(start) {
    for (uint64_t i = 0; i < slot_count; ++i) set(start + i, kIncarnation, Phase::Empty);
    tail_hint.store(start);
    head_hint.store(start);
  }
  void set(uint64_t position, uint64_t low, Phase phase, uint32_t owner = 0) {
    ring.slot(position).low.store(low);
    ring.slot(position).high.store(layout::pack({ring.turn(position), 0, 0, owner, phase}));
  }
  Push push(uint64_t value, uint64_t incarnation = kIncarnation) { return ring.push(incarnation, value, 1, 2); }
  // Takes in place; 0: empty.
  uint64_t pop() {
    SlotView view{};
    if (!ring.peek(head, view)) return 0;
    ring.empty(head++, kIncarnation);
    return view.low;
  }
  std::vector<layout::Slot> slots;
  std::atomic<uint64_t> tail_hint{0};
  std::atomic<uint64_t> head_hint{0};
  MpmcRing ring;
  uint64_t head;
};

TEST(MpmcRing, GivesMessagesBackInTheOrderTheyWerePushed) {
  TestRing test(8);
  for (uint64_t value = 1; value <= 8; ++value) ASSERT_EQ(test.push(value), Push::Ok);
  for (uint64_t value = 1; value <= 8; ++value) EXPECT_EQ(test.pop(), value);
  EXPECT_EQ(test.pop(), 0u);
}

TEST(MpmcRing, HoldsExactlyItsSlotsThenSaysFull) {
  for (const uint32_t slot_count : {1u, 2u, 4u, 64u}) {
    TestRing test(slot_count);
    for (uint32_t i = 0; i < slot_count; ++i) ASSERT_EQ(test.push(i + 1), Push::Ok) << slot_count;
    EXPECT_EQ(test.push(99), Push::Full) << slot_count;
    EXPECT_EQ(test.pop(), 1u);
    EXPECT_EQ(test.push(99), Push::Ok) << slot_count;
    EXPECT_EQ(test.push(100), Push::Full) << slot_count;
  }
}

TEST(MpmcRing, KeepsReferenceBitAndAttemptOfAMessage) {
  TestRing test(2);
  const layout::Reference reference = layout::make_reference(0xabcdef1, 0x987654321);
  ASSERT_EQ(test.ring.push(kIncarnation, reference, 60, 63), Push::Ok);
  SlotView view{};
  ASSERT_TRUE(test.ring.peek(0, view));
  EXPECT_EQ(view.low, reference);
  const layout::SlotState state = layout::unpack(view.state);
  EXPECT_EQ(state.bit, 60u);
  EXPECT_EQ(state.attempt, 63u);
  EXPECT_EQ(state.owner, layout::kOwnerNone);
}

// The turn is 36 bits of the position; behind the wrap a ring must go on as before it.
class MpmcRingTurnWrap : public testing::TestWithParam<uint32_t> {};

TEST_P(MpmcRingTurnWrap, PassesTheEndOfTheTurnWithoutNotice) {
  const uint32_t slot_count = GetParam();
  const uint64_t start = (layout::kTurnMask - 2) * slot_count;
  TestRing test(slot_count, start);
  uint64_t next = 1;
  uint64_t expected = 1;
  for (uint32_t step = 0; step < 6 * slot_count; ++step) {
    while (test.push(next) == Push::Ok) ++next;
    ASSERT_EQ(test.pop(), expected++) << "step " << step;
  }
  while (const uint64_t value = test.pop()) EXPECT_EQ(value, expected++);
  EXPECT_EQ(expected, next);
}

TEST_P(MpmcRingTurnWrap, PassesTheEndOfTheTurnByTakeAndFinish) {
  const uint32_t slot_count = GetParam();
  TestRing test(slot_count, (layout::kTurnMask - 1) * slot_count);
  for (uint64_t value = 1; value <= 5 * uint64_t{slot_count}; ++value) {
    ASSERT_EQ(test.push(value), Push::Ok);
    SlotView view = test.ring.read(test.head);
    ASSERT_TRUE(test.ring.take(test.head, view, kTaker));
    EXPECT_EQ(view.low, value);
    ASSERT_TRUE(test.ring.finish(test.head, view, kIncarnation));
    ++test.head;
  }
}

TEST_P(MpmcRingTurnWrap, FindsTheTailFromAHintBeforeTheWrap) {
  const uint32_t slot_count = GetParam();
  const uint64_t start = (layout::kTurnMask - 1) * slot_count;
  TestRing test(slot_count, start);
  for (uint64_t value = 1; value <= 3 * uint64_t{slot_count} + 1; ++value) {
    ASSERT_EQ(test.push(value), Push::Ok);
    test.tail_hint.store(start);  // As a pusher leaves it that slept for three laps.
    ASSERT_EQ(test.pop(), value);
  }
}

INSTANTIATE_TEST_SUITE_P(SlotCounts, MpmcRingTurnWrap, testing::Values(1u, 2u, 8u, 256u));

TEST(MpmcRing, WalksOverWhatAPusherPushedWithoutMovingTheHint) {
  TestRing test(8);
  for (uint64_t value = 1; value <= 7; ++value) {
    ASSERT_EQ(test.push(value), Push::Ok);
    test.tail_hint.store(0);
  }
  for (uint64_t value = 1; value <= 7; ++value) EXPECT_EQ(test.pop(), value);
}

TEST(MpmcRing, FindsTheTailFromAHintOfAnyEarlierLap) {
  TestRing test(8);
  for (uint64_t value = 1; value <= 803; ++value) {
    ASSERT_EQ(test.push(value), Push::Ok);
    ASSERT_EQ(test.pop(), value);
  }
  for (uint64_t hint = 0; hint <= 803; ++hint) {
    test.tail_hint.store(hint);
    const Tail tail = test.ring.find_tail(kIncarnation);
    ASSERT_EQ(tail.outcome, Push::Ok);
    EXPECT_EQ(tail.position, 803u) << "hint " << hint;
  }
}

// The hint lies in memory that any agent may write.
TEST(MpmcRing, FindsTheTailFromAScribbledHintThatLeads) {
  for (uint64_t pushed = 0; pushed <= 20; ++pushed) {
    for (uint64_t hint = 0; hint < 80; ++hint) {
      TestRing test(8);
      for (uint64_t value = 1; value <= pushed; ++value) {
        ASSERT_EQ(test.push(value), Push::Ok);
        ASSERT_EQ(test.pop(), value);
      }
      // A lead within the very lap cannot be told from the tail.
      if (hint > pushed && hint / 8 == (pushed + (hint % 8 < pushed % 8 ? 8 : 0)) / 8) continue;
      test.tail_hint.store(hint);
      ASSERT_EQ(test.push(100), Push::Ok);
      EXPECT_EQ(test.pop(), 100u) << "pushed " << pushed << " hint " << hint;
    }
  }
}

TEST(MpmcRing, AScribbledHintOfAFullRingStillSaysFull) {
  TestRing test(8);
  for (uint64_t value = 1; value <= 8; ++value) ASSERT_EQ(test.push(value), Push::Ok);
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    test.tail_hint.store(random() >> (random() & 63));
    ASSERT_NE(test.push(99), Push::Ok);
  }
  for (uint64_t value = 1; value <= 8; ++value) EXPECT_EQ(test.pop(), value);
}

TEST(MpmcRing, RefusesAPushForAnEarlierIncarnation) {
  TestRing test(4);
  EXPECT_EQ(test.push(1, kIncarnation - 1), Push::Stale);
  EXPECT_EQ(test.pop(), 0u);
  EXPECT_EQ(test.push(1), Push::Ok);
}

TEST(MpmcRing, RefusesAPushThatFoundTheTailBeforeTheRingWasReopened) {
  TestRing test(4);
  const Tail tail = test.ring.find_tail(kIncarnation);
  for (uint64_t i = 0; i < 4; ++i) test.set(4 + i, kIncarnation + 1, Phase::Empty);
  test.tail_hint.store(4);
  EXPECT_EQ(test.ring.push(tail, kIncarnation, 1, 0, 0), Push::Stale);
}

TEST(MpmcRing, RefusesAPushOnceTheTailIsClosed) {
  for (const uint64_t hint : {uint64_t{0}, uint64_t{2}, uint64_t{400}}) {
    TestRing test(4);
    ASSERT_EQ(test.push(1), Push::Ok);
    ASSERT_EQ(test.push(2), Push::Ok);
    test.set(2, 0, Phase::Closed);
    test.tail_hint.store(hint);
    EXPECT_EQ(test.push(3), Push::Closed) << "hint " << hint;
  }
}

TEST(MpmcRing, ALatePushWithAnOldTailGoesToTheEnd) {
  TestRing test(4);
  const Tail tail = test.ring.find_tail(kIncarnation);
  ASSERT_EQ(test.push(1), Push::Ok);
  ASSERT_EQ(test.push(2), Push::Ok);
  ASSERT_EQ(test.ring.push(tail, kIncarnation, 3, 0, 0), Push::Ok);
  for (uint64_t value = 1; value <= 3; ++value) EXPECT_EQ(test.pop(), value);
}

TEST(MpmcRing, OutOfOrderReleaseKeepsTheOldestInTheWay) {
  TestRing test(4);
  for (uint64_t value = 1; value <= 4; ++value) ASSERT_EQ(test.push(value), Push::Ok);
  for (const uint64_t position : {3u, 1u, 2u}) {
    test.ring.empty(position, kIncarnation);
    EXPECT_EQ(test.push(99), Push::Full);
  }
  test.ring.empty(0, kIncarnation);
  for (uint64_t value = 5; value <= 8; ++value) EXPECT_EQ(test.push(value), Push::Ok);
  EXPECT_EQ(test.push(9), Push::Full);
  test.head = 4;
  for (uint64_t value = 5; value <= 8; ++value) EXPECT_EQ(test.pop(), value);
}

TEST(MpmcRing, OneTakerOfManyGetsAMessage) {
  TestRing test(4);
  ASSERT_EQ(test.push(1), Push::Ok);
  SlotView first = test.ring.read(0);
  SlotView second = first;
  EXPECT_TRUE(test.ring.take(0, first, 1));
  EXPECT_FALSE(test.ring.take(0, second, 2));
  EXPECT_EQ(layout::unpack(first.state).owner, 1u);
  EXPECT_FALSE(test.ring.finish(0, second, kIncarnation));
  EXPECT_TRUE(test.ring.finish(0, first, kIncarnation));
  EXPECT_FALSE(test.ring.finish(0, first, kIncarnation)) << "finished twice";
}

TEST(MpmcRing, ATakenSlotOfTheLastLapIsFull) {
  TestRing test(2);
  ASSERT_EQ(test.push(1), Push::Ok);
  ASSERT_EQ(test.push(2), Push::Ok);
  SlotView view = test.ring.read(0);
  ASSERT_TRUE(test.ring.take(0, view, kTaker));
  const Tail tail = test.ring.find_tail(kIncarnation);
  EXPECT_EQ(tail.outcome, Push::Full);
  EXPECT_EQ(tail.position, 2u);
  EXPECT_EQ(tail.slot.state, view.state);
}

TEST(MpmcRing, PeekDoesNotSeeAnotherLapsMessage) {
  TestRing test(2);
  ASSERT_EQ(test.push(1), Push::Ok);
  SlotView view{};
  EXPECT_TRUE(test.ring.peek(0, view));
  EXPECT_FALSE(test.ring.peek(1, view));
  EXPECT_FALSE(test.ring.peek(2, view)) << "the slot holds position 0";
}

TEST(MpmcRing, GarbageInEveryWordEndsEveryCall) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20'000; ++round) {
    TestRing test(4);
    for (layout::Slot& slot : test.slots) {
      if (random() % 3 != 0) slot.low.store(random());
      // Words near one another contradict better than words far apart.
      if (random() % 3 != 0) slot.high.store((random() % 8 << 28) | (random() & 0xfffffff));
      if (random() % 16 == 0) slot.high.store(random());
    }
    test.tail_hint.store(random() % 3 == 0 ? random() : random() % 40);
    (void)test.ring.find_tail(kIncarnation);
    (void)test.push(5);
    (void)test.pop();
    SlotView view = test.ring.read(random());
    (void)test.ring.take(1, view, kTaker);
    (void)test.ring.finish(1, view, kIncarnation);
  }
}

// Against a queue that is right by its plainness: random pushes, takes and lagging hints.
TEST(MpmcRing, BehavesAsAPlainQueueUnderRandomUse) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    const uint32_t slot_count = 1u << (random() % 5);
    const uint64_t start = (seed % 2 == 0 ? layout::kTurnMask - 3 : 5) * slot_count;
    TestRing test(slot_count, start);
    uint64_t pushed = 0;
    uint64_t taken = 0;
    std::set<uint64_t> in_hand;
    uint64_t head = start;
    for (int step = 0; step < 4'000; ++step) {
      switch (random() % 4) {
        case 0:
        case 1: {
          // The slot of the position must have been given back.
          const bool room = pushed < slot_count || (pushed - slot_count < taken && !in_hand.contains(pushed - slot_count));
          ASSERT_EQ(test.push(pushed + 1), room ? Push::Ok : Push::Full) << seed << ' ' << step;
          if (room) ++pushed;
          break;
        }
        case 2: {
          SlotView view{};
          ASSERT_EQ(test.ring.peek(head, view), taken < pushed);
          if (taken < pushed) {
            ASSERT_EQ(view.low, taken + 1);
            in_hand.insert(taken++);
            ++head;
          }
          break;
        }
        case 3: {
          if (in_hand.empty()) break;
          auto one = in_hand.begin();
          std::advance(one, static_cast<std::ptrdiff_t>(random() % in_hand.size()));
          test.ring.empty(start + *one, kIncarnation);
          in_hand.erase(one);
          break;
        }
      }
      if (random() % 5 == 0 && pushed > 0) test.tail_hint.store(start + random() % (pushed + 1));
    }
  }
}

}  // namespace
}  // namespace ripstop::ring
