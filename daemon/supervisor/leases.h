// The hard lease: an agent that holds messages and gets on with none of them for longer than its fabric's
// policy allows is killed through its pidfd, and settled like every other death. Only then is memory that
// it could have touched given to others: a process that is merely late is never declared dead.
#pragma once

#include <cstdint>
#include <memory>

#include "base/owned_fd.h"
#include "control/overdue.h"
#include "ripstop/result.h"
#include "supervisor/event_loop.h"
#include "supervisor/segment_manager.h"
#include "supervisor/sessions.h"

namespace ripstop::supervisor {

class Leases {
 public:
  // `hard_lease_ms` 0: nobody is ever killed, and nothing is looked at.
  // Lifetime: all arguments outlive it.
  // Errors: System.
  static Result<std::unique_ptr<Leases>> create(EventLoop& loop, const SegmentManager& segments, Sessions& sessions,
                                                uint64_t hard_lease_ms);
  ~Leases();
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

 private:
  Leases(EventLoop& loop, const SegmentManager& segments, Sessions& sessions, uint64_t hard_lease_ms)
      : loop_(loop), sessions_(sessions), overdue_(segments.map()), hard_lease_ms_(hard_lease_ms) {}
  void on_tick();

  EventLoop& loop_;
  Sessions& sessions_;
  control::Overdue overdue_;
  uint64_t hard_lease_ms_;
  base::OwnedFd timer_;
};

}  // namespace ripstop::supervisor
