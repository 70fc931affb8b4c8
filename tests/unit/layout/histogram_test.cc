#include "layout/histogram.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace ripstop::layout {
namespace {

TEST(Histogram, IsExactBelow64) {
  for (uint64_t value = 0; value < 64; ++value) {
    EXPECT_EQ(histogram_bucket(value), value);
    EXPECT_EQ(histogram_value(value), value);
  }
}

TEST(Histogram, HasGoldenBuckets) {
  EXPECT_EQ(histogram_bucket(64), 64u);
  EXPECT_EQ(histogram_bucket(65), 64u);
  EXPECT_EQ(histogram_bucket(66), 65u);
  EXPECT_EQ(histogram_bucket(127), 95u);
  EXPECT_EQ(histogram_bucket(128), 96u);
  EXPECT_EQ(histogram_bucket(1'000), 190u);
  EXPECT_EQ(histogram_bucket(~uint64_t{0}), kHistogramBuckets - 1);
}

TEST(Histogram, BucketsRiseWithTheirValues) {
  std::size_t last = 0;
  for (uint64_t value = 1; value < uint64_t{1} << 40; value += 1 + value / 70) {
    const std::size_t bucket = histogram_bucket(value);
    EXPECT_GE(bucket, last);
    EXPECT_LE(bucket, last + 1) << "no bucket is left out, at " << value;
    last = bucket;
  }
}

TEST(Histogram, ABucketsValueIsWithinTwoPercent) {
  std::mt19937_64 random(5);
  for (int i = 0; i < 100'000; ++i) {
    const uint64_t value = random() % (uint64_t{137} * 1'000'000'000) + 1;
    const double middle = static_cast<double>(histogram_value(histogram_bucket(value)));
    EXPECT_LE(std::abs(middle / static_cast<double>(value) - 1), 0.0161) << value;
  }
}

TEST(Histogram, ABucketHoldsItsOwnValue) {
  for (std::size_t bucket = 0; bucket < kHistogramBuckets; ++bucket) {
    EXPECT_EQ(histogram_bucket(histogram_value(bucket)), bucket);
  }
}

}  // namespace
}  // namespace ripstop::layout
