#include "base/clock.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace ripstop::base {
namespace {

TEST(Clock, TheKernelsClockDoesNotGoBack) {
  uint64_t last = monotonic_ns();
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t now = monotonic_ns();
    ASSERT_GE(now, last);
    last = now;
  }
}

TEST(Clock, WithoutAScaleItIsTheKernelsClock) {
  const uint64_t before = monotonic_ns();
  const uint64_t now = scaled_now_ns({});
  EXPECT_GE(now, before);
  EXPECT_LE(now, monotonic_ns());
}

TEST(Clock, TheScaledClockKeepsNearTheKernels) {
  const TscScale scale = measure_tsc_scale(10'000'000);
  if (scale.mult == 0) GTEST_SKIP() << "no invariant counter here";
  // The tightest of several looks: we may be put aside in between.
  int64_t nearest = INT64_MAX;
  for (int i = 0; i < 1'000; ++i) {
    const auto difference = static_cast<int64_t>(scaled_now_ns(scale) - monotonic_ns());
    if (std::llabs(difference) < std::llabs(nearest)) nearest = difference;
  }
  EXPECT_LT(std::llabs(nearest), 100'000) << "0.1 ms, after 10 ms of measuring";
}

TEST(Clock, ALongTimeDoesNotOverflowTheScale) {
  TscScale scale{};
  scale.mult = (uint64_t{1} << 32) / 3;  // 3 GHz.
  scale.base_tsc = 0;
  scale.base_ns = 0;
  // Two years of ticks at 3 GHz need 58 bits, times the scale's 31.
  const uint64_t two_years_ticks = uint64_t{3'000'000'000} * 3600 * 24 * 730;
  const auto ns = static_cast<uint64_t>((static_cast<unsigned __int128>(two_years_ticks) * scale.mult) >> 32);
  EXPECT_NEAR(static_cast<double>(ns), 63'072'000e9, 63'072'000e9 * 1e-8);
#if defined(__x86_64__)
  EXPECT_NE(scaled_now_ns(scale), 0u);
#endif
}

}  // namespace
}  // namespace ripstop::base
