#include "shmctl/table.h"

#include <gtest/gtest.h>

#include "shmctl/units.h"

namespace ripstop::shmctl {
namespace {

const Fields kFields = {{"name", "NAME", Kind::Text, Show::Table, "who"},
                        {"count", "COUNT", Kind::Count, Show::Table, "how many"},
                        {"age_ns", "AGE", Kind::Duration, Show::Wide, "how old", true}};

JsonValue row(const std::string& name, uint64_t count) {
  return {{"name", name}, {"count", count}, {"age_ns", nullptr}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

TEST(Table, NumbersStandRightAndTextsLeft) {
  const std::vector<JsonValue> rows = {row("a", 5), row("planner", 12345)};
  EXPECT_EQ(render_table(kFields, rows, {}), "NAME     COUNT\na            5\nplanner  12345\n");
}

TEST(Table, WideShowsTheWideColumns) {
  const std::vector<JsonValue> rows = {row("a", 5)};
  EXPECT_EQ(render_table(kFields, rows, {}, {.wide = true}),
            "NAME  COUNT  AGE\na         5    -\n");
}

TEST(Table, ALongTextIsCutSoThatTheTableFits) {
  Terminal narrow;
  narrow.columns = 40;
  const std::vector<JsonValue> rows = {row(std::string(100, 'x'), 5)};
  for (const std::string& line : lines_of(render_table(kFields, rows, narrow)))
    EXPECT_LE(width_of(line), 40u);
}

TEST(Table, ColumnsThatDoNotFitGoAndAreNamed) {
  Fields many;
  JsonValue wide_row;
  for (int i = 0; i < 12; ++i) {
    const std::string key = "k" + std::to_string(i);
    many.push_back({key, "NUMBER", Kind::Id, Show::Table, ""});
    wide_row[key] = 123456789;
  }
  const std::vector<JsonValue> rows = {wide_row};
  const auto lines = lines_of(render_table(many, rows, {}));
  for (const std::string& line : lines) EXPECT_LE(width_of(line), 80u);
  EXPECT_NE(lines.back().find("-o wide"), std::string::npos);
}

TEST(Table, ControlCharactersOfOthersAreWrittenOut) {
  const std::vector<JsonValue> rows = {row("\x1b[2Jbad\n", 1)};
  const std::string text = render_table(kFields, rows, {});
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_NE(text.find("\\x1b[2Jbad\\n"), std::string::npos);
}

TEST(Table, ColoursDoNotMoveColumns) {
  Terminal coloured;
  coloured.colour = true;
  const std::vector<JsonValue> rows = {row("a", 5)};
  std::string text = render_table(
      kFields, rows, coloured,
      {.wide = false, .tone = [](const JsonValue&, const Field&) { return Tone::Bad; }});
  for (std::size_t at; (at = text.find('\x1b')) != std::string::npos;)
    text.erase(at, text.find('m', at) - at + 1);
  EXPECT_EQ(text, render_table(kFields, rows, {}));
}

TEST(Fit, CutsBetweenLettersNotBytes) {
  EXPECT_EQ(fit("grüße", 5, true), "grüße");
  EXPECT_EQ(fit("grüße!", 5, true), "grüß…");
  EXPECT_EQ(fit("grüße!", 5, false), "grüß~");
  EXPECT_EQ(fit("abc", 0, true), "");
}

}  // namespace
}  // namespace ripstop::shmctl
