#include "base/nearest_name.h"

#include <gtest/gtest.h>

namespace ripstop::base {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsExchangesAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("agents", "agents"), 0u);
  EXPECT_EQ(edit_distance("agnts", "agents"), 1u);
  EXPECT_EQ(edit_distance("agentss", "agents"), 1u);
  EXPECT_EQ(edit_distance("adents", "agents"), 1u);
  EXPECT_EQ(edit_distance("agetns", "agents"), 1u);
  EXPECT_EQ(edit_distance("", "top"), 3u);
}

TEST(EditDistance, IgnoresCase) {
  EXPECT_EQ(edit_distance("Planner", "planner"), 0u);
}

TEST(NearestNames, TheNearestComesFirstAndTheFarAreLeftOut) {
  const std::vector<std::string> names = {"planner", "plan", "solver", "planners"};
  const auto near = nearest_names("planer", names);
  ASSERT_FALSE(near.empty());
  EXPECT_EQ(near.front(), "planner");
  EXPECT_EQ(std::count(near.begin(), near.end(), "solver"), 0);
}

TEST(NearestNames, APartOfALongNameFindsIt) {
  const std::vector<std::string> names = {"agent.planner.task.assign", "agent.solver.result"};
  EXPECT_EQ(nearest_names("task", names), std::vector<std::string>{"agent.planner.task.assign"});
}

TEST(NearestNames, NothingNearIsNothing) {
  const std::vector<std::string> names = {"alpha", "beta"};
  EXPECT_TRUE(nearest_names("zzzzzz", names).empty());
  EXPECT_EQ(did_you_mean({}), "");
}

TEST(NearestNames, SaysItInASentence) {
  const std::vector<std::string> three = {"a", "b", "c"};
  EXPECT_EQ(did_you_mean(three), "did you mean a, b or c?");
}

}  // namespace
}  // namespace ripstop::base
