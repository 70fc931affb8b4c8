#include "supervisor/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "supervisor/geometry.h"

namespace ripstop::supervisor {
namespace {

Error error_of(std::string_view text) {
  const auto config = parse_config(text, "my.json");
  EXPECT_FALSE(config);
  return config ? Error{} : config.error();
}

TEST(Config, AnEmptyFileIsAllDefaults) {
  const auto config = parse_config("{}", "my.json");
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->fabric, "default");
  EXPECT_EQ(config->agents, 250u);
  EXPECT_EQ(config->classes.size(), 7u);
  EXPECT_EQ(config->lanes[2], 128u);
  EXPECT_EQ(config->hugepages, Hugepages::Try);
}

TEST(Config, CommentsAndUnitsAreUnderstood) {
  const auto config = parse_config(R"({
    // a comment
    "ring_arena_bytes": "8MiB", /* another */
    "lanes": {"normal": 1024},
    "classes": [{"payload_bytes": "2KiB", "chunk_count": 5}]
  })", "my.json");
  ASSERT_TRUE(config) << to_string(config.error());
  EXPECT_EQ(config->ring_arena_bytes, 8u << 20);
  EXPECT_EQ(config->lanes[2], 1024u);
  EXPECT_EQ(config->lanes[0], 32u);
  ASSERT_EQ(config->classes.size(), 1u);
  EXPECT_EQ(config->classes[0].payload_bytes, 2048u);
}

TEST(Config, WhatIsPrintedCanBeRead) {
  Config config = default_config();
  config.agents = 77;
  config.lanes[4] = 8;
  const auto back = parse_config(print_config(config), "printed");
  ASSERT_TRUE(back) << to_string(back.error());
  EXPECT_EQ(back->agents, 77u);
  EXPECT_EQ(back->lanes, config.lanes);
  EXPECT_EQ(back->classes, config.classes);
  EXPECT_EQ(print_config(*back), print_config(config));
}

TEST(Config, TheExampleFileIsTheDefaultsAndIsUpToDate) {
  const char* source = std::getenv("RIPSTOP_SOURCE_DIR");
  if (source == nullptr) GTEST_SKIP() << "RIPSTOP_SOURCE_DIR is not set";
  const std::string file = std::string(source) + "/daemon/supervisor/ripstop.example.json";
  const auto config = load_config(file);
  ASSERT_TRUE(config) << to_string(config.error());
  std::ifstream in(file);
  const std::string text((std::istreambuf_iterator<char>(in)), {});
  EXPECT_EQ(text, print_config(default_config())) << "ripstopd --print-config > daemon/supervisor/ripstop.example.json";
}

TEST(Config, ASyntaxErrorNamesFileLineAndColumn) {
  const Error error = error_of("{\n  \"agents\": 5,\n  \"topics\" 7\n}");
  EXPECT_EQ(error.code, Errc::ConfigSyntax);
  EXPECT_NE(error.what.find("my.json:3:"), std::string::npos) << error.what;
  EXPECT_EQ(error_of("").code, Errc::ConfigSyntax);
  EXPECT_EQ(error_of("[]").code, Errc::ConfigSyntax);
}

TEST(Config, AnUnknownKeyNamesItsLineAndTheNearestKey) {
  const Error error = error_of("{\n  \"agnets\": 5\n}");
  EXPECT_EQ(error.code, Errc::ConfigUnknownKey);
  EXPECT_NE(error.what.find("my.json:2"), std::string::npos) << error.what;
  EXPECT_NE(error.why.find("\"agents\""), std::string::npos) << error.why;
  EXPECT_NE(error_of(R"({"lanes": {"urgent": 32}})").what.find("lanes.urgent"), std::string::npos);
}

TEST(Config, AValueOutOfBoundsNamesWhatIsAllowed) {
  const Error error = error_of("{\n\n  \"agents\": 0\n}");
  EXPECT_EQ(error.code, Errc::ConfigValue);
  EXPECT_NE(error.what.find("my.json:3"), std::string::npos) << error.what;
  EXPECT_NE(error.why.find("1 to "), std::string::npos) << error.why;
  EXPECT_NE(error_of(R"({"hugepages": "maybe"})").why.find(R"("off", "try", "require")"), std::string::npos);
  EXPECT_NE(error_of(R"({"lanes": {"low": 100}})").why.find("powers of two"), std::string::npos);
  EXPECT_NE(error_of(R"({"keeper": 1})").why.find("true, false"), std::string::npos);
  EXPECT_NE(error_of(R"({"fabric": "a b"})").why.find("place 2"), std::string::npos);
  EXPECT_EQ(error_of(R"({"agents": -1})").code, Errc::ConfigValue);
  EXPECT_EQ(error_of(R"({"agents": "many"})").code, Errc::ConfigValue);
  EXPECT_NE(error_of(R"({"declare_topics": "a.b"})").why.find("a list of topics"), std::string::npos);
  EXPECT_NE(error_of(R"({"declare_topics": ["a.b", "a.**.b"]})").why.find("not the last token"), std::string::npos);
  EXPECT_EQ(error_of(R"({"classes": []})").code, Errc::ConfigValue);
  EXPECT_EQ(error_of(R"({"classes": [{"payload_bytes": 100, "chunk_count": 5}]})").code, Errc::ConfigValue);
  EXPECT_NE(error_of(R"({"classes": [{"payload_bytes": 512, "chunk_count": 5}, {"payload_bytes": 256, "chunk_count": 5}]})")
                .why.find("ascend"), std::string::npos);
}

TEST(Config, AFileThatCannotBeReadSaysWhy) {
  const auto config = load_config("/nowhere/my.json");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, Errc::ConfigUnreadable);
  EXPECT_EQ(config.error().sys_errno, ENOENT);
}

TEST(Config, OneKeyCanBeSetByItself) {
  Config config = default_config();
  EXPECT_TRUE(set_config_key(config, "agents=12"));
  EXPECT_TRUE(set_config_key(config, "hugepages=off"));
  EXPECT_TRUE(set_config_key(config, "lanes.normal=256"));
  EXPECT_TRUE(set_config_key(config, R"(declare_topics=["a.b", "jobs.#"])"));
  EXPECT_EQ(config.declare_topics, (std::vector<std::string>{"a.b", "jobs.#"}));
  EXPECT_EQ(config.agents, 12u);
  EXPECT_EQ(config.hugepages, Hugepages::Off);
  EXPECT_EQ(config.lanes[2], 256u);
  EXPECT_EQ(set_config_key(config, "agents").error().code, Errc::Usage);
  const auto no_text = set_config_key(config, "classes=[\xff\xfe");
  EXPECT_EQ(no_text.error().code, Errc::ConfigValue) << "and what cannot be printed is named all the same";
  EXPECT_EQ(set_config_key(config, "agent=5").error().code, Errc::ConfigUnknownKey);
}

TEST(Config, TheSchemaIsJsonAndKnowsEveryKey) {
  const auto schema = nlohmann::json::parse(print_config_schema());
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_TRUE(schema["properties"].contains("agents"));
  EXPECT_EQ(schema["properties"]["agents"]["maximum"], layout::kAgentIdMax);
  EXPECT_TRUE(schema["properties"]["lanes"]["properties"].contains("critical"));
  EXPECT_EQ(schema["properties"]["hugepages"]["enum"][2], "require");
  EXPECT_TRUE(schema["properties"]["classes"]["items"]["properties"].contains("chunk_count"));
}

TEST(Geometry, ADefaultFabricFitsInto64MiB) {
  for (const std::size_t node_count : {1u, 2u}) {
    const std::vector<topology::NumaNode> nodes(node_count, topology::NumaNode{0, {0}, 0});
    const auto plan = plan_geometry(default_config(), nodes);
    ASSERT_TRUE(plan) << to_string(plan.error());
    EXPECT_LE(plan->total_bytes(), uint64_t{64} << 20) << node_count << " nodes";
    EXPECT_LE(plan->agent_block_bytes, 24u << 10);
  }
}

TEST(Geometry, EveryAgentHasItsPlaceOnOneNode) {
  const std::vector<topology::NumaNode> nodes(3, topology::NumaNode{0, {0}, 0});
  const auto plan = plan_geometry(default_config(), nodes);
  ASSERT_TRUE(plan);
  uint32_t next = 1;
  for (const NodePlan& node : plan->nodes) {
    EXPECT_EQ(node.geometry.agent_first, next);
    next += node.geometry.agent_count;
  }
  EXPECT_EQ(next, plan->agent_capacity);
}

}  // namespace
}  // namespace ripstop::supervisor
