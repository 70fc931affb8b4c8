// The bare futex calls, between processes.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

namespace rivals {

// Sleeps for up to 100 ms while `word` holds `expected`.
inline void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected) {
  const timespec limit{0, 100'000'000};
  syscall(SYS_futex, &word, FUTEX_WAIT, expected, &limit, nullptr, 0);
}

inline void futex_wake(const std::atomic<std::uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace rivals
