#include <gtest/gtest.h>

#include "shmctl/listing.h"

namespace ripstop::shmctl {
namespace {

const Fields kFields = {{"name", "AGENT", Kind::Text, Show::Table, ""},
                        {"waiting", "WAIT", Kind::Count, Show::Table, ""},
                        {"oldest_wait_ns", "OLDEST", Kind::Duration, Show::Table, "", true}};

std::vector<JsonValue> rows() {
  return {{{"name", "b"}, {"waiting", 10}, {"oldest_wait_ns", 5'000'000'000}},
          {{"name", "a"}, {"waiting", 9}, {"oldest_wait_ns", nullptr}},
          {{"name", "ab"}, {"waiting", 100}, {"oldest_wait_ns", 1'000'000}}};
}

std::string names_of(const Result<std::vector<JsonValue>>& result) {
  if (!result) return to_string(result.error());
  std::string names;
  for (const JsonValue& row : *result) names += row["name"].get<std::string>() + " ";
  return names;
}

TEST(Sort, ComparesNumbersAsNumbers) {
  EXPECT_EQ(names_of(sort_rows(rows(), kFields, "waiting")), "a b ab ");
  EXPECT_EQ(names_of(sort_rows(rows(), kFields, "-WAIT")), "ab b a ");
}

TEST(Sort, WhatIsNotKnownComesLastBothWays) {
  EXPECT_EQ(names_of(sort_rows(rows(), kFields, "oldest_wait")), "ab b a ");
  EXPECT_EQ(names_of(sort_rows(rows(), kFields, "-oldest_wait")), "b ab a ");
}

TEST(Filter, KnowsItsFiveComparisons) {
  EXPECT_EQ(names_of(filter_rows(rows(), kFields, "name=a")), "a ");
  EXPECT_EQ(names_of(filter_rows(rows(), kFields, "name!=a")), "b ab ");
  EXPECT_EQ(names_of(filter_rows(rows(), kFields, "name~b")), "b ab ");
  EXPECT_EQ(names_of(filter_rows(rows(), kFields, "waiting>9")), "b ab ");
  EXPECT_EQ(names_of(filter_rows(rows(), kFields, "waiting<10")), "a ");
}

TEST(Filter, ATimeMayBearItsUnit) {
  EXPECT_EQ(names_of(filter_rows(rows(), kFields, "oldest>2s")), "b ");
}

TEST(Filter, AnUnknownFieldNamesTheNearest) {
  const auto result = filter_rows(rows(), kFields, "waitin=3");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::Usage);
  EXPECT_NE(result.error().fix.find("waiting"), std::string::npos);
}

TEST(Filter, WhatIsNoConditionIsRefused) {
  EXPECT_FALSE(filter_rows(rows(), kFields, "waiting"));
  EXPECT_FALSE(filter_rows(rows(), kFields, "=3"));
  EXPECT_FALSE(filter_rows(rows(), kFields, "waiting>many"));
}

}  // namespace
}  // namespace ripstop::shmctl
