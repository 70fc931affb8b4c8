#include "ring/space.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>

#include "ring/doorbell.h"

namespace ripstop::ring {

void join_heavy_fences() noexcept {
  syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
}

bool heavy_fence() noexcept { return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0; }

void sleep_for_space(layout::RingBack& back, uint32_t word, uint64_t timeout_ns) noexcept {
  if (timeout_ns != 0) futex_wait(back.space_word, word, timeout_ns);
}

void wake_space_waiters(layout::RingBack& back) noexcept {
  // Relaxed: cleared before the wake, so a publisher that comes later sets it again.
  back.space_waiters.store(0, std::memory_order_relaxed);
  back.space_word.fetch_add(1, std::memory_order_release);  // R(space)
  futex_wake(back.space_word, INT_MAX);
}

}  // namespace ripstop::ring
