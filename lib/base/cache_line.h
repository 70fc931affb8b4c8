// The unit in which processors exchange memory.
#pragma once

#include <cstddef>

namespace ripstop::base {

inline constexpr std::size_t kCacheLineBytes = 64;

constexpr std::size_t round_up(std::size_t value, std::size_t unit) noexcept {
  return (value + unit - 1) / unit * unit;
}

// Fetches the line for writing without waiting for it.
inline void prefetch_for_write(const void* line) noexcept { __builtin_prefetch(line, 1, 3); }
inline void prefetch_for_read(const void* line) noexcept { __builtin_prefetch(line, 0, 3); }

// One turn of a spin loop: tells the core that nothing useful happens here.
inline void spin_pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

}  // namespace ripstop::base
