#include "supervisor/grace_timer.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"

namespace ripstop::supervisor {

Result<std::unique_ptr<GraceTimer>> GraceTimer::create(EventLoop& loop, Registry& registry) {
  base::OwnedFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return system_error("timerfd_create", errno);
  std::unique_ptr<GraceTimer> grace(new GraceTimer(loop, registry, std::move(timer)));
  GraceTimer* raw = grace.get();
  if (auto watched = loop.watch(raw->timer_.get(), EPOLLIN, [raw](uint32_t) { raw->on_time(); }); !watched) return watched.error();
  return grace;
}

void GraceTimer::set() noexcept {
  constexpr uint64_t kNsPerSecond = 1'000'000'000;
  const uint64_t at_ns = registry_.next_expiry_ns();
  // All zero: it stands still.
  const itimerspec setting{{0, 0}, {static_cast<time_t>(at_ns / kNsPerSecond), static_cast<long>(at_ns % kNsPerSecond)}};
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &setting, nullptr);
}

void GraceTimer::on_time() {
  uint64_t count = 0;
  while (read(timer_.get(), &count, sizeof count) < 0 && errno == EINTR) {
  }
  registry_.expire_letters(base::monotonic_ns());
  set();
}

}  // namespace ripstop::supervisor
