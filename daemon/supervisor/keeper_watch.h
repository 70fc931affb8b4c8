// Keeps the keeper: while the supervisor serves there is one, and it holds the memory and the process of each
// agent. What it is given goes to systemd's fd store too, where there is one. Both are emptied with this, unless
// they are to stay.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "supervisor/config.h"
#include "supervisor/event_loop.h"
#include "supervisor/keeper_link.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {

class KeeperWatch {
 public:
  // `link`: of the keeper whose memory was taken over. Lifetime: all others outlive it.
  KeeperWatch(EventLoop& loop, const Config& config, const SegmentManager& segments, std::optional<KeeperLink> link);
  KeeperWatch(const KeeperWatch&) = delete;
  KeeperWatch& operator=(const KeeperWatch&) = delete;
  ~KeeperWatch() {
    if (!stays_) end();
  }

  void stay() noexcept { stays_ = true; }
  void start();
  void end();

  // `pidfd` is borrowed until forget(). `is_kept`: it came from there.
  void keep(const control::KeptProcess& process, int pidfd, bool is_kept = false);
  void forget(const control::KeptProcess& process);

 private:
  void on_end();
  // It takes nothing any more, and is replaced.
  void give_up(const Error& error);
  void name_it(pid_t pid) noexcept;
  std::vector<BorrowedPidfd> processes() const;

  EventLoop& loop_;
  const Config& config_;
  const SegmentManager& segments_;
  std::optional<KeeperLink> link_;
  std::map<uint32_t, BorrowedPidfd> processes_;  // By agent.
  uint64_t first_start_ns_ = 0;
  int start_count_ = 0;
  bool stays_ = false;
};

}  // namespace ripstop::supervisor
