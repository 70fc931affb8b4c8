#include "agent/waiting.h"

#include <gtest/gtest.h>

namespace ripstop::detail {
namespace {

// A clock that moves when it is looked at and when somebody sleeps.
struct FakeTime {
  uint64_t now = 1'000;
  uint64_t step = 100;
  int sleeps = 0;
  uint64_t longest_ns = 0;
  bool slept_for_ever = false;

  uint64_t operator()() { return now += step; }
  bool sleep(uint64_t timeout_ns, uint64_t takes_ns) {
    ++sleeps;
    slept_for_ever |= timeout_ns == 0;
    longest_ns = std::max(longest_ns, timeout_ns);
    now += timeout_ns == 0 ? takes_ns : std::min(timeout_ns, takes_ns);
    return false;
  }
};

// Waits for something that comes at `comes_ns` (from now) and wakes the sleeper then.
bool wait_for(Waiting& waiting, FakeTime& time, uint64_t comes_ns, uint64_t timeout_ns) {
  const uint64_t at = time.now + comes_ns;
  const auto look = [&] { return time.now >= at; };
  return waiting.wait(timeout_ns, look, [&] { return time(); },
                      [&](uint64_t sleep_ns) {
                        time.sleep(sleep_ns, at > time.now ? at - time.now + 20'000 : 0);
                        return look();
                      });
}

TEST(Waiting, WhatIsThereNeedsNoClockAndNoSleep) {
  for (const Wait mode : {Wait::Spin, Wait::Adaptive, Wait::Sleep}) {
    Waiting waiting(mode);
    FakeTime time;
    EXPECT_TRUE(wait_for(waiting, time, 0, 0));
    EXPECT_EQ(time.now, 1'000u);
    EXPECT_EQ(time.sleeps, 0);
  }
}

TEST(Waiting, WithoutTimeItLooksAndReturns) {
  for (const Wait mode : {Wait::Spin, Wait::Adaptive, Wait::Sleep}) {
    Waiting waiting(mode);
    FakeTime time;
    EXPECT_FALSE(wait_for(waiting, time, 1'000'000, 0));
    EXPECT_EQ(time.sleeps, 0);
  }
}

TEST(Waiting, EveryModeEndsWithItsTime) {
  for (const Wait mode : {Wait::Spin, Wait::Adaptive, Wait::Sleep}) {
    Waiting waiting(mode);
    FakeTime time;
    const uint64_t start = time.now;
    EXPECT_FALSE(wait_for(waiting, time, 1'000'000'000, 5'000'000));
    EXPECT_GE(time.now - start, 5'000'000u);
    EXPECT_LT(time.now - start, 5'100'000u);
    EXPECT_LE(time.longest_ns, 5'000'000u);
  }
}

TEST(Waiting, ASpinnerNeverSleeps) {
  Waiting waiting(Wait::Spin);
  FakeTime time;
  EXPECT_TRUE(wait_for(waiting, time, 300'000, Waiting::kForever));
  EXPECT_EQ(time.sleeps, 0);
}

TEST(Waiting, ASleeperSleepsAtOnceAndForEverIfAsked) {
  Waiting waiting(Wait::Sleep);
  FakeTime time;
  const uint64_t start = time.now;
  EXPECT_TRUE(wait_for(waiting, time, 300'000, Waiting::kForever));
  EXPECT_EQ(time.sleeps, 1);
  EXPECT_TRUE(time.slept_for_ever);
  EXPECT_LT(time.now - start, 330'000u);
}

TEST(Waiting, TheAdaptiveOneSpinsForWhatComesSoon) {
  Waiting waiting(Wait::Adaptive);
  FakeTime time;
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(wait_for(waiting, time, 10'000, Waiting::kForever));
  EXPECT_EQ(time.sleeps, 0);
}

TEST(Waiting, TheAdaptiveOneStopsSpinningForWhatComesLate) {
  Waiting waiting(Wait::Adaptive);
  FakeTime time;
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(wait_for(waiting, time, 10'000'000, Waiting::kForever));
  EXPECT_EQ(time.sleeps, 40);
  // Nothing of the time is spun away any more.
  const uint64_t start = time.now;
  int looks = 0;
  (void)waiting.wait(
      Waiting::kForever, [&] { return ++looks > 8; }, [&] { return time(); }, [&](uint64_t) { return looks > 3; });
  EXPECT_LT(time.now - start, 10'000u);
}

TEST(Waiting, TheAdaptiveOneLearnsToSpinAgain) {
  Waiting waiting(Wait::Adaptive);
  FakeTime time;
  for (int i = 0; i < 40; ++i) (void)wait_for(waiting, time, 10'000'000, Waiting::kForever);
  time.sleeps = 0;
  for (int i = 0; i < 40; ++i) (void)wait_for(waiting, time, 20'000, Waiting::kForever);
  EXPECT_LT(time.sleeps, 6);
}

TEST(Waiting, ATimeNearTheEndOfTheClockIsForEver) {
  Waiting waiting(Wait::Sleep);
  FakeTime time;
  EXPECT_TRUE(wait_for(waiting, time, 50'000, ~uint64_t{0} - 10));
  EXPECT_TRUE(time.slept_for_ever);
}

}  // namespace
}  // namespace ripstop::detail
