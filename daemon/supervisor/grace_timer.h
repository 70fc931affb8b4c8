// When what a dead agent left has waited long enough for a successor. Nothing ticks while nothing waits.
#pragma once

#include <memory>

#include "base/owned_fd.h"
#include "ripstop/result.h"
#include "supervisor/event_loop.h"
#include "supervisor/registry.h"

namespace ripstop::supervisor {

class GraceTimer {
 public:
  // Lifetime: both outlive it.
  // Errors: System.
  static Result<std::unique_ptr<GraceTimer>> create(EventLoop& loop, Registry& registry);
  ~GraceTimer() { loop_.unwatch(timer_.get()); }
  GraceTimer(const GraceTimer&) = delete;
  GraceTimer& operator=(const GraceTimer&) = delete;

  // After anything that may begin to wait. It looks again when the first one's time is over.
  void set() noexcept;

 private:
  GraceTimer(EventLoop& loop, Registry& registry, base::OwnedFd timer) noexcept
      : loop_(loop), registry_(registry), timer_(std::move(timer)) {}
  void on_time();

  EventLoop& loop_;
  Registry& registry_;
  base::OwnedFd timer_;
};

}  // namespace ripstop::supervisor
