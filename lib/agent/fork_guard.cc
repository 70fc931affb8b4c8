// The node segments are MADV_DONTFORK, so a child that touched them would fault; the counter lets
// every call answer Forked before it does.
#include "agent/fork_guard.h"

#include <pthread.h>

#include <mutex>

namespace ripstop::detail {

std::atomic<uint32_t> fork_count{0};

void watch_forks() noexcept {
  static std::once_flag once;
  std::call_once(once, [] {
    // Relaxed: the child has one thread.
    pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1, std::memory_order_relaxed); });
  });
}

}  // namespace ripstop::detail
