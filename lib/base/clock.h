// CLOCK_MONOTONIC nanoseconds, read from the processor's time stamp counter where that is invariant.
#pragma once

#include <cstdint>

namespace ripstop::base {

// now_ns = base_ns + ((tsc - base_tsc) * mult >> 32). mult 0: use clock_gettime.
// Measured once by the supervisor and published in the superblock, so that all processes of the
// fabric read the same clock.
struct TscScale {
  uint64_t base_tsc = 0;
  uint64_t base_ns = 0;
  uint64_t mult = 0;
};

// CLOCK_MONOTONIC by the kernel. Units: nanoseconds.
uint64_t monotonic_ns() noexcept;

// Reads the counter and the kernel's clock twice, `sample_ns` apart. mult is 0 when the counter is
// not invariant or the kernel does not use it itself.
TscScale measure_tsc_scale(uint64_t sample_ns) noexcept;

// Units: nanoseconds on CLOCK_MONOTONIC's scale; drifts from it by less than the scale's error
// (about 1 part in 10^6 for a 10 ms sample).
inline uint64_t scaled_now_ns(const TscScale& scale) noexcept {
#if defined(__x86_64__)
  if (scale.mult != 0) {
    const uint64_t ticks = __builtin_ia32_rdtsc() - scale.base_tsc;
    return scale.base_ns + static_cast<uint64_t>((static_cast<unsigned __int128>(ticks) * scale.mult) >> 32);
  }
#endif
  return monotonic_ns();
}

}  // namespace ripstop::base
