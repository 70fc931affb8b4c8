#include "shmctl/units.h"

#include <gtest/gtest.h>

#include "shmctl/message_text.h"

namespace ripstop::shmctl {
namespace {

TEST(Units, DurationsHaveThreeFiguresThenTwoUnits) {
  EXPECT_EQ(duration_text(0, true), "0 ns");
  EXPECT_EQ(duration_text(870, true), "870 ns");
  EXPECT_EQ(duration_text(1'250, true), "1.25 µs");
  EXPECT_EQ(duration_text(1'250, false), "1.25 us");
  EXPECT_EQ(duration_text(999'999, true), "1.00 ms");
  EXPECT_EQ(duration_text(12'400'000, true), "12.4 ms");
  EXPECT_EQ(duration_text(252'000'000'000, true), "4 m 12 s");
  EXPECT_EQ(duration_text(90'000'000'000'000, true), "1 d 1 h");
}

TEST(Units, BytesAreInPowersOf1024) {
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(1536), "1.50 KiB");
  EXPECT_EQ(bytes_text(64 << 20), "64 MiB");
  EXPECT_EQ(bytes_text(~uint64_t{0}), "16 EiB");
}

TEST(Units, TimesAndSizesAreReadWithTheirUnits) {
  EXPECT_EQ(parse_duration("500ms"), 500'000'000u);
  EXPECT_EQ(parse_duration("2"), 2'000'000'000u);
  EXPECT_EQ(parse_duration("1.5m"), 90'000'000'000u);
  EXPECT_EQ(parse_duration("2 s"), 2'000'000'000u);
  for (const char* bad : {"", "s", "-1s", "2x", "nan", "1e300s"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
  EXPECT_EQ(parse_bytes("64K"), 65'536u);
  EXPECT_EQ(parse_bytes("1MiB"), 1u << 20);
  EXPECT_FALSE(parse_bytes("4Q"));
}

TEST(Units, NullIsADash) {
  EXPECT_EQ(cell_text(nullptr, Kind::Bytes, true), "-");
}

TEST(MessageText, TellsTextFromBytes) {
  EXPECT_TRUE(is_utf8("plain"));
  EXPECT_TRUE(is_utf8("grüße €"));
  EXPECT_FALSE(is_utf8("\xc3"));
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));  // A surrogate.
  EXPECT_FALSE(is_utf8(std::string_view("a\0b", 3)));
}

TEST(MessageText, Base64HasItsPadding) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

}  // namespace
}  // namespace ripstop::shmctl
