#include "ring/space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace ripstop::ring {
namespace {

constexpr uint64_t kMs = 1'000'000;
constexpr std::chrono::nanoseconds kSlice{kSpaceSliceNs};

// The shortest of up to twenty calls: of a call that sleeps a whole slice all are that long, and on a busy
// machine one is not.
template <class Call>
std::chrono::nanoseconds shortest(Call call) {
  std::chrono::nanoseconds best = std::chrono::nanoseconds::max();
  for (int i = 0; i < 20 && best >= kSlice; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    best = std::min<std::chrono::nanoseconds>(best, std::chrono::steady_clock::now() - start);
  }
  return best;
}

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
  EXPECT_LT(shortest([] {
              layout::RingBack back{};
              wait_for_space(back, 10'000 * kMs, []() noexcept { return true; });
            }),
            kSlice);
}

TEST(Space, SleepsNoLongerThanItsTime) {
  join_heavy_fences();
  EXPECT_LT(shortest([] {
              layout::RingBack back{};
              wait_for_space(back, kMs, []() noexcept { return false; });
            }),
            kSlice);
}

TEST(Space, ARoomMadeBetweenLookAndSleepEndsTheSleep) {
  // The taker comes after the look: it moves the word, and the sleep finds it moved.
  join_heavy_fences();
  EXPECT_LT(shortest([] {
              layout::RingBack back{};
              wait_for_space(back, 10'000 * kMs, [&]() noexcept {
                wake_space_waiters(back);
                return false;
              });
              EXPECT_FALSE(has_space_waiters(back));
            }),
            kSlice);
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
