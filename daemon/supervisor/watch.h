// The tick: while messages move, it looks every 10 ms for sleepers of non-empty inboxes and channels and rings them.
//
// A publisher that is stopped, or loses its processor, between its push and its ring leaves its receiver
// asleep on a message; nobody else is to blame, so nobody else would wake it. Most of the time there is
// no such publisher, and then this must cost nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "base/owned_fd.h"
#include "control/sleepers.h"
#include "ripstop/result.h"
#include "supervisor/event_loop.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {

class Watch {
 public:
  // In new memory it stands still until the first message; in memory taken over it starts at once.
  // Lifetime: all arguments outlive it.
  // Errors: System.
  static Result<std::unique_ptr<Watch>> create(EventLoop& loop, const SegmentManager& segments, bool is_adopted);
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  Watch(EventLoop& loop, const SegmentManager& segments, base::OwnedFd timer);
  void start();
  void on_bell();
  void on_tick();
  void try_to_stop();
  void say(bool stopped) noexcept;

  EventLoop& loop_;
  const SegmentManager& segments_;
  control::Sleepers sleepers_;
  base::OwnedFd timer_;
  uint64_t push_count_ = 0;
  int quiet_count_ = 0;  // Ticks in which nothing was pushed.
};

}  // namespace ripstop::supervisor
