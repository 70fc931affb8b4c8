// How a receiver waits: spinning, sleeping, or spinning for as long as that has been paying off.
#pragma once

#include <sched.h>

#include <algorithm>
#include <cstdint>

#include "base/cache_line.h"
#include "ring/doorbell.h"
#include "ripstop/types.h"

namespace ripstop::detail {

class Waiting {
 public:
  explicit Waiting(Wait mode) noexcept : mode_(mode) {}

  // Calls `look` until it answers true, or `timeout_ns` (~0: for ever) is over. `now` is the fabric's
  // clock, `sleep(timeout_ns)` arms, looks once more and sleeps; it answers true if the look succeeded.
  template <class Look, class Now, class Sleep>
  bool wait(uint64_t timeout_ns, Look look, Now now, Sleep sleep) {
    if (look()) return true;
    const uint64_t start_ns = now();
    const uint64_t end_ns = timeout_ns >= kForever - start_ns ? kForever : start_ns + timeout_ns;
    if (mode_ != Wait::Sleep) {
      const uint64_t spin_ns = mode_ == Wait::Spin ? kForever : spin_budget_ns_;
      if (spin(start_ns, spin_ns, end_ns, look, now)) {
        // It paid off: allow for more of the same.
        spin_budget_ns_ = std::min(kBudgetMaxNs, spin_budget_ns_ + spin_budget_ns_ / 8 + 1000);
        return true;
      }
      if (mode_ == Wait::Spin) return false;
    }
    for (;;) {
      const uint64_t time = now();
      if (time >= end_ns) return false;
      if (sleep(end_ns == kForever ? 0 : end_ns - time)) break;
      if (look()) break;
    }
    // How long it took says whether spinning would have paid: sleep costs about kBudgetMaxNs by itself.
    const uint64_t waited_ns = now() - start_ns;
    if (waited_ns > 2 * kBudgetMaxNs) spin_budget_ns_ /= 2;
    else spin_budget_ns_ = std::min(kBudgetMaxNs, spin_budget_ns_ + kBudgetMaxNs / 4);
    return true;
  }

  static constexpr uint64_t kForever = ~uint64_t{0};

 private:
  // About twice a wake-up across cores on a virtual machine.
  static constexpr uint64_t kBudgetMaxNs = 60'000;
  static constexpr uint64_t kYieldAfterNs = 10'000;

  template <class Look, class Now>
  bool spin(uint64_t start_ns, uint64_t spin_ns, uint64_t end_ns, Look look, Now now) {
    if (spin_ns == 0) return false;
    const uint64_t spin_end_ns = spin_ns >= end_ns - start_ns ? end_ns : start_ns + spin_ns;
    for (;;) {
      // The clock costs as much as several looks.
      for (int i = 0; i < 64; ++i) {
        if (look()) return true;
      }
      base::spin_pause();
      const uint64_t time = now();
      if (time >= spin_end_ns) return false;
      // Both sides may share a core: let the other one run.
      if (time - start_ns > kYieldAfterNs) sched_yield();
    }
  }

  Wait mode_;
  uint64_t spin_budget_ns_ = kBudgetMaxNs;
};

}  // namespace ripstop::detail
