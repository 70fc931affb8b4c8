#include "topology/numa_topology.h"

#include <gtest/gtest.h>

namespace ripstop::topology {
namespace {

TEST(NumaTopology, ThisMachineHasANodeWithProcessors) {
  const auto nodes = discover_numa_nodes();
  ASSERT_TRUE(nodes) << to_string(nodes.error());
  ASSERT_FALSE(nodes->empty());
  std::size_t cpu_count = 0;
  for (const NumaNode& node : *nodes) cpu_count += node.cpus.size();
  EXPECT_GE(cpu_count, 1u);
}

// The following need hwloc; without it the build answers Unavailable.
bool has_hwloc() { return discover_numa_nodes("numa:1 core:1 pu:1").has_value(); }

TEST(NumaTopology, ASyntheticMachineHasTheNodesItDescribes) {
  if (!has_hwloc()) GTEST_SKIP() << "built without hwloc";
  const auto nodes = discover_numa_nodes("numa:2 core:2 pu:1");
  ASSERT_TRUE(nodes) << to_string(nodes.error());
  ASSERT_EQ(nodes->size(), 2u);
  EXPECT_EQ((*nodes)[0].os_index, 0u);
  EXPECT_EQ((*nodes)[1].os_index, 1u);
  EXPECT_EQ((*nodes)[0].cpus, (std::vector<int>{0, 1}));
  EXPECT_EQ((*nodes)[1].cpus, (std::vector<int>{2, 3}));
}

TEST(NumaTopology, AProcessorIsFoundOnItsNode) {
  if (!has_hwloc()) GTEST_SKIP() << "built without hwloc";
  const auto nodes = discover_numa_nodes("numa:4 core:1 pu:2");
  ASSERT_TRUE(nodes);
  EXPECT_EQ(node_of_cpu(*nodes, 0), 0u);
  EXPECT_EQ(node_of_cpu(*nodes, 5), 2u);
  EXPECT_EQ(node_of_cpu(*nodes, 99), std::nullopt);
}

TEST(NumaTopology, NonsenseIsAConfigurationError) {
  if (!has_hwloc()) GTEST_SKIP() << "built without hwloc";
  const auto nodes = discover_numa_nodes("two nodes please");
  ASSERT_FALSE(nodes);
  EXPECT_EQ(nodes.error().code, Errc::ConfigValue);
  EXPECT_NE(nodes.error().what.find("two nodes please"), std::string::npos);
}

TEST(NumaTopology, ANodeThatIsNotThereIsNotBoundTo) {
  alignas(4096) static char page[4096];
  EXPECT_FALSE(bind_to_node(page, sizeof page, 4711));
}

}  // namespace
}  // namespace ripstop::topology
