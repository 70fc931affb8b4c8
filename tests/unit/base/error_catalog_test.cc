#include "base/error_catalog.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace ripstop::base {
namespace {

TEST(ErrorCatalog, IsSortedByCodeWithoutDoubles) {
  const auto catalog = error_catalog();
  for (std::size_t i = 1; i < catalog.size(); ++i) EXPECT_LT(catalog[i - 1].code, catalog[i].code);
}

TEST(ErrorCatalog, EveryCodeHasItsEntry) {
  // As error.h lists them; a code that is added there is added here and to the catalogue.
  const std::set<int> codes = {101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116,
                               201, 202, 203, 204, 205, 206, 207, 301, 302, 303, 304, 305, 306,
                               401, 402, 403, 404, 501, 502, 503, 504, 901};
  std::set<int> found;
  for (const ErrorEntry& entry : error_catalog()) found.insert(static_cast<int>(entry.code));
  EXPECT_EQ(found, codes);
}

TEST(ErrorCatalog, EveryEntrySaysWhatWhyAndWhatToDo) {
  for (const ErrorEntry& entry : error_catalog()) {
    EXPECT_FALSE(entry.name.empty());
    EXPECT_FALSE(entry.meaning.empty()) << entry.name;
    EXPECT_FALSE(entry.causes.empty()) << entry.name;
    EXPECT_FALSE(entry.remedy.empty()) << entry.name;
    EXPECT_GE(entry.exit_status, 1) << entry.name;
    for (const std::string_view text : {entry.meaning, entry.causes, entry.remedy}) {
      std::size_t width = 0;
      for (const char c : text) {
        width = c == '\n' ? 0 : width + 1;
        ASSERT_LE(width, 76u) << entry.name << ": " << text;
      }
    }
  }
}

TEST(ErrorCatalog, FindsACodeHoweverItIsWritten) {
  for (const std::string_view text : {"RS-0107", "rs-107", "107", "NoSupervisor", "nosupervisor", "Rs-0107"}) {
    const ErrorEntry* entry = find_error(text);
    ASSERT_NE(entry, nullptr) << text;
    EXPECT_EQ(entry->code, Errc::NoSupervisor) << text;
  }
}

TEST(ErrorCatalog, KnowsNothingOfOtherTexts) {
  for (const std::string_view text : {"", "RS-", "RS-9999", "rs-107x", "-107", "99999999999999999999", "No"}) {
    EXPECT_EQ(find_error(text), nullptr) << text;
  }
}

}  // namespace
}  // namespace ripstop::base
