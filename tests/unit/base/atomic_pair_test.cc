#include "base/atomic_pair.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ripstop::base {
namespace {

TEST(AtomicPair, SwapsBothHalvesOrNeither) {
  AtomicPair word{{1}, {2}};
  Pair expected{1, 2};
  EXPECT_TRUE(word.compare_exchange(expected, {3, 4}));
  EXPECT_EQ(word.low.load(), 3u);
  EXPECT_EQ(word.high.load(), 4u);
}

TEST(AtomicPair, AFailedSwapSaysWhatIsThere) {
  for (const Pair wrong : {Pair{9, 2}, Pair{1, 9}, Pair{9, 9}, Pair{2, 1}}) {
    AtomicPair word{{1}, {2}};
    Pair expected = wrong;
    EXPECT_FALSE(word.compare_exchange(expected, {3, 4}));
    EXPECT_EQ(expected, (Pair{1, 2}));
    EXPECT_EQ(word.low.load(), 1u);
    EXPECT_EQ(word.high.load(), 2u);
  }
}

TEST(AtomicPair, AllBitsOfBothHalvesCount) {
  AtomicPair word{{~uint64_t{0}}, {uint64_t{1} << 63}};
  Pair expected{~uint64_t{0}, uint64_t{1} << 63};
  EXPECT_TRUE(word.compare_exchange(expected, {uint64_t{1} << 63, ~uint64_t{0}}));
  expected = {uint64_t{1} << 63, ~uint64_t{0} - 1};
  EXPECT_FALSE(word.compare_exchange(expected, {0, 0}));
}

TEST(AtomicPair, AnExclusiveStoreReplacesBothHalves) {
  AtomicPair word{{1}, {2}};
  word.store_exclusive({5, 6});
  EXPECT_EQ(word.low.load(), 5u);
  EXPECT_EQ(word.high.load(), 6u);
}

// Both halves always hold the same number: whoever sees them differ saw half a change.
TEST(AtomicPair, NobodySeesHalfAChange) {
  AtomicPair word{{0}, {0}};
  std::atomic<uint64_t> sum{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      Pair expected{0, 0};
      for (int n = 0; n < 20'000;) {
        if (expected.low != expected.high) break;
        if (word.compare_exchange(expected, {expected.low + 1, expected.high + 1})) {
          ++n;
          sum.fetch_add(1);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum.load(), 40'000u);
  EXPECT_EQ(word.low.load(), 40'000u);
  EXPECT_EQ(word.high.load(), 40'000u);
}

// One stores, as the only taker of a ring does when the slot is FULL; the other swaps it back.
TEST(AtomicPair, AnExclusiveStoreIsOneChangeForASwapper) {
  AtomicPair word{{0}, {0}};
  std::atomic<bool> torn{false};
  constexpr uint64_t kRounds = 20'000;
  std::thread storer([&] {
    for (uint64_t n = 0; n < kRounds; ++n) {
      while (word.high.load(std::memory_order_acquire) != 2 * n) std::this_thread::yield();
      word.store_exclusive({2 * n + 1, 2 * n + 1});
    }
  });
  for (uint64_t n = 0; n < kRounds; ++n) {
    for (;;) {
      Pair expected{2 * n + 1, 2 * n + 1};
      if (word.compare_exchange(expected, {2 * n + 2, 2 * n + 2})) break;
      if (expected.low != expected.high) torn.store(true);
      std::this_thread::yield();
    }
  }
  storer.join();
  EXPECT_FALSE(torn.load());
}

TEST(AtomicPair, ThisMachineHasTheInstruction) { EXPECT_TRUE(cpu_has_pair_swap()); }

}  // namespace
}  // namespace ripstop::base
