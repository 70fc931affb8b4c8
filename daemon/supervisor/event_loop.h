// What the supervisor sleeps on: epoll, and who is told what.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/owned_fd.h"
#include "ripstop/result.h"

namespace ripstop::supervisor {

class EventLoop {
 public:
  // `events`: as epoll's. A handler may watch and unwatch anything, itself too.
  using Handler = std::function<void(uint32_t events)>;

  static Result<EventLoop> create();

  // Tells `handler` of `events` on `fd` until unwatch(). One handler per descriptor; it is unwatched
  // before it is closed.
  Result<void> watch(int fd, uint32_t events, Handler handler);
  void unwatch(int fd) noexcept;

  // Runs handlers until stop(). Sleeps without a timeout: what is idle uses no processor time.
  Result<void> run();
  // One round: waits at most `timeout_ms` (-1: for ever) and handles what there is.
  Result<void> run_once(int timeout_ms);
  void stop() noexcept { stopped_ = true; }

 private:
  explicit EventLoop(base::OwnedFd epoll) noexcept : epoll_(std::move(epoll)) {}

  struct Watch {
    int fd;
    bool active;
    Handler handler;
  };

  base::OwnedFd epoll_;
  std::unordered_map<int, std::unique_ptr<Watch>> watches_;
  // Unwatched in this round: an event of theirs may be in hand still.
  std::vector<std::unique_ptr<Watch>> ended_;
  bool stopped_ = false;
};

}  // namespace ripstop::supervisor
