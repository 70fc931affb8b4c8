// How much the stress tests of a program did, for the proof T1 (tests/stress/threads): printed at the end.
// A test counts at its end, in its main thread: counters that its threads shared would order them.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>

namespace ripstop::stress {

class Operations : public testing::Environment {
 public:
  static void count(uint64_t operations) { total() += operations; }
  void TearDown() override { std::printf("OPERATIONS %llu\n", static_cast<unsigned long long>(total())); }

 private:
  static uint64_t& total() {
    static uint64_t total = 0;
    return total;
  }
};

inline testing::Environment* const operations_are_told = testing::AddGlobalTestEnvironment(new Operations);

}  // namespace ripstop::stress
