// The soft lease: a message that an agent has had in hand for too long goes on without it
// (control/soft_lease.h).
// The hard lease: an agent that holds messages and gets on with none of them for longer than its fabric's
// policy allows is killed through its pidfd, and settled like every other death. Only then is memory that
// it could have touched given to others: a process that is merely late is never declared dead.
#pragma once

#include <cstdint>
#include <memory>

#include "base/owned_fd.h"
#include "control/overdue.h"
#include "ripstop/result.h"
#include "supervisor/config.h"
#include "supervisor/event_loop.h"
#include "supervisor/registry.h"
#include "supervisor/segment_manager.h"
#include "supervisor/sessions.h"

namespace ripstop::supervisor {

class Leases {
 public:
  // 0 milliseconds: nothing is revoked, or nobody is killed, and nothing is looked at for it.
  // Lifetime: all arguments outlive it.
  // Errors: System.
  static Result<std::unique_ptr<Leases>> create(EventLoop& loop, const SegmentManager& segments, Registry& registry,
                                                Sessions& sessions, const Config& config);
  ~Leases();
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

 private:
  Leases(EventLoop& loop, const SegmentManager& segments, Registry& registry, Sessions& sessions, const Config& config);
  // Calls `look` several times a lease.
  Result<void> start(base::OwnedFd& timer, uint64_t lease_ms, void (Leases::*look)());
  void revoke_overdue();
  void kill_overdue();

  EventLoop& loop_;
  Registry& registry_;
  Sessions& sessions_;
  control::Overdue overdue_;
  control::SoftLeasePolicy soft_;
  uint64_t hard_lease_ms_;
  base::OwnedFd soft_timer_;
  base::OwnedFd hard_timer_;
};

}  // namespace ripstop::supervisor
