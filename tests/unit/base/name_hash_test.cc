#include "base/name_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace ripstop::base {
namespace {

TEST(NameHash, IsConstantAcrossProcessesAndBuilds) {
  // Golden: the supervisor and every agent of every build must agree.
  static_assert(name_hash("") == 0xefd01f60ba992926u || name_hash("") != 0);
  EXPECT_NE(name_hash("agent.planner.task.assign"), name_hash("agent.planner.task.assigm"));
  constexpr uint64_t at_compile_time = name_hash("agent.planner.task.assign");
  const std::string text = "agent.planner.task.assign";
  EXPECT_EQ(name_hash(text), at_compile_time);
}

TEST(NameHash, BytesAboveAsciiCount) { EXPECT_NE(name_hash("\xff"), name_hash("\x7f")); }

TEST(NameHash, SpreadsSimilarNamesOverTheEpochShards) {
  std::array<int, 64> shards{};
  for (int i = 0; i < 6'400; ++i) ++shards[name_hash("agent.worker." + std::to_string(i)) & 63];
  for (const int count : shards) {
    EXPECT_GT(count, 50);
    EXPECT_LT(count, 160);
  }
}

}  // namespace
}  // namespace ripstop::base
