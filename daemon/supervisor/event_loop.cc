#include "supervisor/event_loop.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>

namespace ripstop::supervisor {

Result<EventLoop> EventLoop::create() {
  base::OwnedFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return system_error("epoll_create1", errno);
  return EventLoop(std::move(epoll));
}

Result<void> EventLoop::watch(int fd, uint32_t events, Handler handler) {
  auto watch = std::make_unique<Watch>(Watch{fd, true, std::move(handler)});
  epoll_event event{};
  event.events = events;
  event.data.ptr = watch.get();
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return system_error("epoll_ctl", errno);
  watches_[fd] = std::move(watch);
  return {};
}

void EventLoop::unwatch(int fd) noexcept {
  const auto found = watches_.find(fd);
  if (found == watches_.end()) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  found->second->active = false;
  ended_.push_back(std::move(found->second));
  watches_.erase(found);
}

Result<void> EventLoop::run_once(int timeout_ms) {
  std::array<epoll_event, 64> events;
  const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout_ms);
  if (count < 0 && errno != EINTR) return system_error("epoll_wait", errno);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    auto* watch = static_cast<Watch*>(event.data.ptr);
    if (watch->active) watch->handler(event.events);
  }
  ended_.clear();
  return {};
}

Result<void> EventLoop::run() {
  while (!stopped_) {
    if (auto done = run_once(-1); !done) return done;
  }
  return {};
}

}  // namespace ripstop::supervisor
