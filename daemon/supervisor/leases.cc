#include "supervisor/leases.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "base/clock.h"
#include "supervisor/log.h"

namespace ripstop::supervisor {

namespace {

constexpr uint64_t kNsPerMs = 1'000'000;
// So a lease is over by a quarter of itself at most before it is noticed.
constexpr uint64_t kLooksPerLease = 4;

}  // namespace

Result<std::unique_ptr<Leases>> Leases::create(EventLoop& loop, const SegmentManager& segments, Registry& registry,
                                               Sessions& sessions, const Config& config) {
  std::unique_ptr<Leases> leases(new Leases(loop, segments, registry, sessions, config));
  if (auto started = leases->start(leases->soft_timer_, config.soft_lease_ms, &Leases::revoke_overdue); !started) return started.error();
  if (auto started = leases->start(leases->hard_timer_, config.hard_lease_ms, &Leases::kill_overdue); !started) return started.error();
  return leases;
}

Leases::Leases(EventLoop& loop, const SegmentManager& segments, Registry& registry, Sessions& sessions, const Config& config)
    : loop_(loop),
      registry_(registry),
      sessions_(sessions),
      overdue_(segments.map()),
      soft_{config.soft_lease_ms * kNsPerMs, static_cast<uint32_t>(config.soft_lease_requeues)},
      hard_lease_ms_(config.hard_lease_ms) {}

Leases::~Leases() {
  for (const base::OwnedFd* timer : {&soft_timer_, &hard_timer_}) {
    if (*timer) loop_.unwatch(timer->get());
  }
}

Result<void> Leases::start(base::OwnedFd& timer, uint64_t lease_ms, void (Leases::*look)()) {
  if (lease_ms == 0) return {};
  timer = base::OwnedFd(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return system_error("timerfd_create", errno);
  const uint64_t interval_ns = lease_ms * kNsPerMs / kLooksPerLease;
  const timespec interval{static_cast<time_t>(interval_ns / 1'000'000'000), static_cast<long>(interval_ns % 1'000'000'000)};
  const itimerspec setting{interval, interval};
  timerfd_settime(timer.get(), 0, &setting, nullptr);
  return loop_.watch(timer.get(), EPOLLIN, [this, fd = timer.get(), look](uint32_t) {
    uint64_t count = 0;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    (this->*look)();
  });
}

void Leases::revoke_overdue() {
  for (const control::Revoked& revoked : registry_.revoke_overdue(base::monotonic_ns(), soft_)) {
    const layout::AgentEntry& agent = registry_.agent(revoked.agent_id);
    log(LogLevel::Warning,
        "agent %s (pid %u, agent %u) has had message %llu of topic %s in hand for %llu ms (soft_lease_ms): %s", agent.name,
        agent.pid, revoked.agent_id, static_cast<unsigned long long>(revoked.sequence), registry_.topic_name(revoked.topic_id),
        static_cast<unsigned long long>(soft_.lease_ns / kNsPerMs),
        revoked.is_requeued ? "it comes to it again" : "it is a dead letter");
  }
}

void Leases::kill_overdue() {
  for (const uint32_t agent_id : overdue_.find(base::monotonic_ns(), hard_lease_ms_ * kNsPerMs)) {
    sessions_.kill_agent(agent_id, hard_lease_ms_);
  }
}

}  // namespace ripstop::supervisor
