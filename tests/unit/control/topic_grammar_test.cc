#include "control/topic_grammar.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace ripstop::control
