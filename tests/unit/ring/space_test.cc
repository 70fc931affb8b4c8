#include "ring/space.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace ripstop::ring {
namespace {

constexpr uint64_t kMs = 1'000'000;

TEST(Space, AWaiterIsAnnouncedBeforeItLooksAgain) {
  layout::RingBack back{};
  bool announced = false;
  wait_for_space(back, 0, [&]() noexcept {
    announced = has_space_waiters(back);
    return true;
  });
  EXPECT_TRUE(announced);
}

TEST(Space, DoesNotSleepWhenThereIsRoomAfterAll) {
  join_heavy_fences();
  layout::RingBack back{};
  const auto start = std::chrono::steady_clock::now();
  wait_for_space(back, 10'000 * kMs, []() noexcept { return true; });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Space, SleepsNoLongerThanItsTime) {
  join_heavy_fences();
  layout::RingBack back{};
  const auto start = std::chrono::steady_clock::now();
  wait_for_space(back, kMs, []() noexcept { return false; });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Space, ARoomMadeBetweenLookAndSleepEndsTheSleep) {
  // The taker comes after the look: it moves the word, and the sleep finds it moved.
  join_heavy_fences();
  layout::RingBack back{};
  const auto start = std::chrono::steady_clock::now();
  wait_for_space(back, 10'000 * kMs, [&]() noexcept {
    wake_space_waiters(back);
    return false;
  });
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(45)) << "it slept a whole slice";
  EXPECT_FALSE(has_space_waiters(back));
}

TEST(Space, AWakeReachesAllWaiters) {
  join_heavy_fences();
  layout::RingBack back{};
  std::atomic<bool> room{false};
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      while (!room.load()) wait_for_space(back, 10'000 * kMs, [&]() noexcept { return room.load(); });
      ++done;
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  room.store(true);
  if (has_space_waiters(back)) wake_space_waiters(back);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done.load(), 3);
}

}  // namespace
}  // namespace ripstop::ring
