#include "supervisor/keeper_watch.h"

#include <signal.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "supervisor/fd_store.h"
#include "supervisor/log.h"

namespace ripstop::supervisor {

namespace {

// A keeper that ends this often, this fast, will not stay.
constexpr int kStartsMax = 5;
constexpr uint64_t kStartsNs = 10'000'000'000;

}  // namespace

KeeperWatch::KeeperWatch(EventLoop& loop, const Config& config, const SegmentManager& segments, std::optional<KeeperLink> link)
    : loop_(loop), config_(config), segments_(segments), link_(std::move(link)) {
  store_memory(segments_);
}

void KeeperWatch::start() {
  if (!config_.keeper) return;
  const uint64_t now_ns = base::monotonic_ns();
  if (now_ns - first_start_ns_ > kStartsNs) {
    first_start_ns_ = now_ns;
    start_count_ = 0;
  }
  if (++start_count_ > kStartsMax) {
    log(LogLevel::Error, "the keeper does not stay: this fabric does not outlive its supervisor any more");
    return name_it(0);
  }
  if (!link_) {
    auto started = KeeperLink::start(config_, segments_, processes());
    if (!started) {
      log_error(LogLevel::Error, "there is no keeper", started.error());
      return name_it(0);
    }
    link_ = std::move(*started);
  }
  name_it(link_->pid());
  auto watched = loop_.watch(link_->pidfd(), EPOLLIN, [this](uint32_t) { on_end(); });
  if (!watched) log_error(LogLevel::Error, "the keeper cannot be watched", watched.error());
}

void KeeperWatch::end() {
  for (const auto& [id, each] : processes_) remove_process(each.process);
  remove_memory(segments_);
  if (!link_) return;
  loop_.unwatch(link_->pidfd());
  link_->end();
  link_.reset();
  name_it(0);
}

void KeeperWatch::keep(const control::KeptProcess& process, int pidfd, bool is_kept) {
  processes_[process.agent_id] = {process, pidfd};
  store_process(process, pidfd);
  if (!link_ || is_kept) return;
  if (auto kept = link_->keep(process, pidfd); !kept) give_up(kept.error());
}

void KeeperWatch::forget(const control::KeptProcess& process) {
  processes_.erase(process.agent_id);
  remove_process(process);
  if (!link_) return;
  if (auto forgotten = link_->forget(process); !forgotten) give_up(forgotten.error());
}

void KeeperWatch::give_up(const Error& error) {
  if (error.code == Errc::SupervisorGone) return;  // It has ended; the event is on its way.
  log_error(LogLevel::Warning, "the keeper takes nothing any more, and is ended", error);
  kill(link_->pid(), SIGKILL);  // Its pidfd says so, and another one is started.
}

void KeeperWatch::on_end() {
  log(LogLevel::Warning, "the keeper (pid %d) has ended; another one is started", link_->pid());
  loop_.unwatch(link_->pidfd());
  link_->reap();
  link_.reset();
  start();
}

void KeeperWatch::name_it(pid_t pid) noexcept {
  segments_.superblock().keeper_pid.store(static_cast<uint32_t>(pid), std::memory_order_relaxed);  // For tools.
}

std::vector<BorrowedPidfd> KeeperWatch::processes() const {
  std::vector<BorrowedPidfd> all;
  for (const auto& [id, each] : processes_) all.push_back(each);
  return all;
}

}  // namespace ripstop::supervisor
