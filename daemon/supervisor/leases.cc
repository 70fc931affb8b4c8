#include "supervisor/leases.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"

namespace ripstop::supervisor {

namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
// So a lease is over by a quarter of itself at most before it is noticed.
constexpr uint64_t kLooksPerLease = 4;

}  // namespace

Result<std::unique_ptr<Leases>> Leases::create(EventLoop& loop, const SegmentManager& segments, Sessions& sessions,
                                               uint64_t hard_lease_ms) {
  std::unique_ptr<Leases> leases(new Leases(loop, segments, sessions, hard_lease_ms));
  if (hard_lease_ms == 0) return leases;
  leases->timer_ = base::OwnedFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!leases->timer_) return system_error("timerfd_create", errno);
  const uint64_t interval_ns = hard_lease_ms * kNsPerMs / kLooksPerLease;
  const timespec interval{static_cast<time_t>(interval_ns / 1'000'000'000), static_cast<long>(interval_ns % 1'000'000'000)};
  const itimerspec setting{interval, interval};
  timerfd_settime(leases->timer_.get(), 0, &setting, nullptr);
  Leases* raw = leases.get();
  if (auto watched = loop.watch(raw->timer_.get(), EPOLLIN, [raw](uint32_t) { raw->on_tick(); }); !watched) return watched.error();
  return leases;
}

Leases::~Leases() {
  if (timer_) loop_.unwatch(timer_.get());
}

void Leases::on_tick() {
  uint64_t count = 0;
  while (read(timer_.get(), &count, sizeof count) < 0 && errno == EINTR) {
  }
  for (const uint32_t agent_id : overdue_.find(base::monotonic_ns(), hard_lease_ms_ * kNsPerMs)) {
    sessions_.kill_agent(agent_id, hard_lease_ms_);
  }
}

}  // namespace ripstop::supervisor
