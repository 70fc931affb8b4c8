#include "control/topic_grammar.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

namespace ripstop::control {
namespace {

std::string why_not_name(std::string_view name) {
  const auto checked = check_name(name);
  if (checked) return "";
  EXPECT_EQ(checked.error().code, Errc::BadName);
  return checked.error().why;
}

std::string why_not_topic(std::string_view topic) {
  const auto checked = check_topic(topic);
  if (checked) return "";
  EXPECT_EQ(checked.error().code, Errc::BadTopic);
  return checked.error().why;
}

TEST(TopicGrammar, NamesOfEveryAllowedByteAreNames) {
  EXPECT_EQ(why_not_name("planner"), "");
  EXPECT_EQ(why_not_name("A-z_0.9"), "");
  EXPECT_EQ(why_not_name(std::string(64, 'x')), "");
  EXPECT_EQ(why_not_name("..."), "");
}

TEST(TopicGrammar, ABadNameSaysWhichByteIsWrongAndWhere) {
  EXPECT_EQ(why_not_name(""), "it is empty");
  EXPECT_EQ(why_not_name("plan ner"), "0x20 at place 5 is not allowed");
  EXPECT_EQ(why_not_name("a/b"), "'/' at place 2 is not allowed");
  EXPECT_EQ(why_not_name(std::string_view("a\0b", 3)), "0x00 at place 2 is not allowed");
  EXPECT_EQ(why_not_name("\xc3\xa4"), "0xc3 at place 1 is not allowed");
  EXPECT_EQ(why_not_name(std::string(65, 'x')), "it has 65 characters, 64 are allowed");
}

TEST(TopicGrammar, TheFoldersDotAndDotDotAreNoNames) {
  EXPECT_NE(why_not_name("."), "");
  EXPECT_NE(why_not_name(".."), "");
}

TEST(TopicGrammar, TopicsHaveOneToSixteenTokens) {
  EXPECT_EQ(why_not_topic("a"), "");
  EXPECT_EQ(why_not_topic("agent.planner.task_1.assign-now"), "");
  std::string sixteen = "t";
  for (int i = 1; i < 16; ++i) sixteen += ".t";
  EXPECT_EQ(why_not_topic(sixteen), "");
  EXPECT_EQ(why_not_topic(sixteen + ".t"), "it has 17 tokens, 16 are allowed");
}

TEST(TopicGrammar, ABadTopicSaysWhichByteIsWrongAndWhere) {
  EXPECT_EQ(why_not_topic(""), "it is empty");
  EXPECT_EQ(why_not_topic(".a"), "the token beside the dot at place 1 is empty");
  EXPECT_EQ(why_not_topic("a..b"), "the token beside the dot at place 3 is empty");
  EXPECT_EQ(why_not_topic("a."), "the token beside the dot at place 2 is empty");
  EXPECT_EQ(why_not_topic("a b"), "0x20 at place 2 is not allowed");
  EXPECT_EQ(why_not_topic(std::string(256, 'x')), "it has 256 bytes, 255 are allowed");
  EXPECT_EQ(why_not_topic(std::string(255, 'x')), "");
}

TEST(TopicGrammar, WildcardsAreReferredToPatterns) {
  EXPECT_NE(why_not_topic("agent.*.plan").find("patterns"), std::string::npos);
  EXPECT_NE(why_not_topic("agent.**").find("'*' at place 7"), std::string::npos);
}

std::string why_not_pattern(std::string_view pattern) {
  const auto checked = check_pattern(pattern);
  if (checked) return "";
  EXPECT_EQ(checked.error().code, Errc::BadTopic);
  return checked.error().why;
}

TEST(TopicGrammar, ABadPatternSaysWhatIsWrongAndWhere) {
  EXPECT_EQ(why_not_pattern(""), "it is empty");
  EXPECT_EQ(why_not_pattern("a.b c"), "0x20 at place 4 is not allowed");
  EXPECT_EQ(why_not_pattern("a.*b"), "'*' at place 3 is not allowed beside others: a wildcard is a whole token");
  EXPECT_EQ(why_not_pattern("a.b#"), "'#' at place 4 is not allowed beside others: a wildcard is a whole token");
  EXPECT_EQ(why_not_pattern("a.***"), "'*' at place 3 is not allowed beside others: a wildcard is a whole token");
  EXPECT_EQ(why_not_pattern("a.**.b"), "\"**\" at place 3 is not the last token, and stands for any tail");
  EXPECT_EQ(why_not_pattern("#.b"), "\"#\" at place 1 is not the last token, and stands for any tail");
  EXPECT_EQ(why_not_pattern("*..b"), "the token beside the dot at place 3 is empty");
  EXPECT_EQ(why_not_pattern("x." + std::string(252, 'y') + ".**"), "it has 257 bytes, 255 are allowed");
}

TEST(TopicGrammar, AMessageHasOneTopic) {
  EXPECT_EQ(why_not_topic("a.*"), "'*' at place 3 is a wildcard: patterns can be subscribed to, a message has one topic");
  EXPECT_EQ(why_not_topic("#"), "'#' at place 1 is a wildcard: patterns can be subscribed to, a message has one topic");
}

TEST(TopicGrammar, APatternsPrefixBeginsEveryTopicItNames) {
  EXPECT_EQ(literal_prefix("a.b"), "a.b");
  EXPECT_EQ(literal_prefix("a.b.*.c"), "a.b");
  EXPECT_EQ(literal_prefix("a.**"), "a");  // It names a.
  EXPECT_EQ(literal_prefix("*.a"), "");
  EXPECT_EQ(literal_prefix("**"), "");
}

// The cases that other languages run too.
TEST(TopicGrammar, DoesAsTheConformanceFileSays) {
  const char* source = std::getenv("RIPSTOP_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "run it by meson test";
  std::ifstream file(std::string(source) + "/tests/conformance/topics.json");
  const nlohmann::json cases = nlohmann::json::parse(file);
  ASSERT_GT(cases["texts"].size(), 50u);
  for (const auto& each : cases["texts"]) {
    const std::string text = each["text"];
    EXPECT_EQ(check_topic(text).has_value(), each["topic"].get<bool>()) << text;
    EXPECT_EQ(check_pattern(text).has_value(), each["pattern"].get<bool>()) << text;
    if (each["pattern"]) {
      EXPECT_EQ(is_pattern(text), !each["topic"].get<bool>()) << text;
    }
  }
  for (const auto& each : cases["spellings"]) EXPECT_EQ(canonical_pattern(each["pattern"].get<std::string>()), each["canonical"]);
  ASSERT_GT(cases["matches"].size(), 20u);
  for (const auto& each : cases["matches"]) {
    const std::string pattern = canonical_pattern(each["pattern"].get<std::string>());
    for (const std::string topic : each["topics"]) EXPECT_TRUE(pattern_matches(pattern, topic)) << pattern << " " << topic;
    for (const std::string topic : each["others"]) EXPECT_FALSE(pattern_matches(pattern, topic)) << pattern << " " << topic;
  }
}

}  // namespace
}  // namespace ripstop::control
