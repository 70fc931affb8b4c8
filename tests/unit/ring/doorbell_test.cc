#include "ring/doorbell.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace ripstop::ring {
namespace {

constexpr uint64_t kMs = 1'000'000;

TEST(Doorbell, IsNotRungWhileNobodySleeps) {
  std::atomic<uint32_t> bell{0};
  uint32_t last_rung = 0;
  EXPECT_FALSE(ring_doorbell(bell, last_rung));
  Sleeper sleeper(bell);
  sleeper.arm();
  sleeper.disarm();
  EXPECT_FALSE(ring_doorbell(bell, last_rung));
  EXPECT_EQ(bell.load() & (layout::kDoorbellArmed | layout::kDoorbellRung), 0u);
}

TEST(Doorbell, IsRungOncePerSleep) {
  std::atomic<uint32_t> bell{0};
  uint32_t last_rung = 0;
  Sleeper sleeper(bell);
  for (int sleep = 0; sleep < 3; ++sleep) {
    sleeper.arm();
    EXPECT_TRUE(ring_doorbell(bell, last_rung));
    EXPECT_FALSE(ring_doorbell(bell, last_rung)) << "a burst is one wake";
    EXPECT_TRUE(sleeper.wait(kMs)) << "rung before it slept";
    sleeper.disarm();
  }
}

TEST(Doorbell, IsRungAgainByAPublisherThatDidNotRingYet) {
  // The first may have died between setting `rung` and the wake.
  std::atomic<uint32_t> bell{0};
  Sleeper sleeper(bell);
  sleeper.arm();
  uint32_t first = 0;
  uint32_t second = 0;
  EXPECT_TRUE(ring_doorbell(bell, first));
  EXPECT_TRUE(ring_doorbell(bell, second));
}

TEST(Doorbell, ARingOfAnEarlierSleepDoesNotEndTheNext) {
  std::atomic<uint32_t> bell{0};
  Sleeper sleeper(bell);
  uint32_t last_rung = 0;
  sleeper.arm();
  ASSERT_TRUE(ring_doorbell(bell, last_rung));
  sleeper.disarm();
  sleeper.arm();
  EXPECT_FALSE(sleeper.wait(2 * kMs)) << "nobody rang";
  EXPECT_TRUE(needs_ring(bell.load(), last_rung));
}

TEST(Doorbell, TheSleepNumberWraps) {
  std::atomic<uint32_t> bell{~uint32_t{0} & ~(layout::kDoorbellSleepUnit - 1)};
  Sleeper sleeper(bell);
  uint32_t last_rung = bell.load() | layout::kDoorbellArmed;
  sleeper.arm();
  EXPECT_EQ(bell.load(), layout::kDoorbellArmed);
  EXPECT_TRUE(ring_doorbell(bell, last_rung));
  sleeper.disarm();
}

TEST(Doorbell, ASleeperWakesWhenItIsRung) {
  std::atomic<uint32_t> bell{0};
  std::atomic<bool> woken{false};
  std::thread thread([&] {
    Sleeper sleeper(bell);
    sleeper.arm();
    woken.store(sleeper.wait(5'000 * kMs));
    sleeper.disarm();
  });
  while ((bell.load() & layout::kDoorbellArmed) == 0) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  uint32_t last_rung = 0;
  EXPECT_TRUE(ring_doorbell(bell, last_rung));
  thread.join();
  EXPECT_TRUE(woken.load());
}

TEST(Doorbell, ASleepEndsWithItsTime) {
  std::atomic<uint32_t> bell{0};
  Sleeper sleeper(bell);
  sleeper.arm();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(sleeper.wait(3 * kMs));
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(2));
}

}  // namespace
}  // namespace ripstop::ring
