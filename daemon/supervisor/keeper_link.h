// The supervisor's side of its keeper: starts it, fills it, watches it, replaces it, ends it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/owned_fd.h"
#include "control/endpoint.h"
#include "control/wire.h"
#include "ripstop/result.h"
#include "supervisor/config.h"
#include "supervisor/event_loop.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {

struct KeptMemory;

// The process of an agent, from before this supervisor.
struct KeptPidfd {
  control::KeptProcess process;
  base::OwnedFd pidfd;
};
// One of this supervisor's.
struct BorrowedPidfd {
  control::KeptProcess process;
  int pidfd;
};

class KeeperLink {
 public:
  // Takes the memory that a killed supervisor's keeper holds, and the keeper with it.
  // The caller holds the fabric's lock, and its pid stands there.
  // Errors: NotFound (no keeper), Denied, Protocol, Timeout, System.
  static Result<KeptMemory> adopt(const control::Endpoint& endpoint);

  // Starts a keeper process of this program and gives it the memory and the processes of agents.
  // Errors: System, Timeout.
  static Result<KeeperLink> start(const Config& config, const SegmentManager& segments, std::span<const BorrowedPidfd> processes);

  // Gives it the process of an agent. It is the keeper's when this returns, whether that runs or not. Waits for
  // a fifth of a second at most.
  // Errors: Timeout (it takes nothing any more), SupervisorGone (it has ended), System.
  Result<void> keep(const control::KeptProcess& process, int pidfd) const;
  Result<void> forget(const control::KeptProcess& process) const;

  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }

  // Tells it to end and waits until it has, a second at most; then kills it.
  void end() noexcept;
  // It has ended by itself: its exit status is taken.
  void reap() const noexcept;

  KeeperLink(KeeperLink&&) noexcept = default;
  KeeperLink& operator=(KeeperLink&&) noexcept = default;

 private:
  KeeperLink(base::OwnedFd socket, base::OwnedFd pidfd, pid_t pid) noexcept
      : socket_(std::move(socket)), pidfd_(std::move(pidfd)), pid_(pid) {}

  // Not answered.
  Result<void> tell(const control::Request& request, std::span<const int> fds) const;
  Result<void> fill(std::span<const BorrowedPidfd> processes) const;
  // All it keeps, for the successor.
  Result<std::vector<KeptPidfd>> fetch_processes() const;

  base::OwnedFd socket_;
  base::OwnedFd pidfd_;
  pid_t pid_ = 0;
};

// What a keeper without a supervisor held.
struct KeptMemory {
  KeeperLink link;
  std::vector<base::OwnedFd> fds;
  std::vector<uint64_t> segment_bytes;
  std::vector<KeptPidfd> processes;
};

}  // namespace ripstop::supervisor
