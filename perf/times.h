// Times that one bench gathered, and what is told of them.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace ripstop::perf {

class Times {
 public:
  void add(uint64_t time_ns) { ns_.push_back(time_ns); }
  void add(const Times& others) { ns_.insert(ns_.end(), others.ns_.begin(), others.ns_.end()); }

  std::size_t count() const noexcept { return ns_.size(); }
  // 0 when nothing was added. `per_mille`: 500 is the median, 1000 the longest.
  uint64_t percentile_ns(std::size_t per_mille) const {
    if (ns_.empty()) return 0;
    std::vector<uint64_t> sorted = ns_;
    const std::size_t at = std::min(sorted.size() - 1, sorted.size() * per_mille / 1000);
    std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(at), sorted.end());
    return sorted[at];
  }
  double ms(std::size_t per_mille) const { return static_cast<double>(percentile_ns(per_mille)) / 1e6; }
  // Which part of them took longer than `limit_ns`.
  double share_above(uint64_t limit_ns) const {
    if (ns_.empty()) return 0;
    const auto above = std::count_if(ns_.begin(), ns_.end(), [&](uint64_t each) { return each > limit_ns; });
    return static_cast<double>(above) / static_cast<double>(ns_.size());
  }

 private:
  std::vector<uint64_t> ns_;
};

// As root, this process and those it starts go before the machine's other work, and until this ends their
// session before other sessions. What is measured is then Ripstop and the kernel, not who else had the core.
class BeforeOthers {
 public:
  BeforeOthers() noexcept : allowed_(setpriority(PRIO_PROCESS, 0, -20) == 0) { set_session("-20"); }
  BeforeOthers(const BeforeOthers&) = delete;
  BeforeOthers& operator=(const BeforeOthers&) = delete;
  ~BeforeOthers() { set_session("0"); }

  const char* words() const noexcept { return allowed_ ? "nice -20" : "not before other work"; }

 private:
  // Nice counts within a session only; between sessions, the session's own does, where there are autogroups.
  void set_session(const char* nice) const noexcept {
    std::FILE* session = allowed_ ? std::fopen("/proc/self/autogroup", "w") : nullptr;
    if (session == nullptr) return;
    std::fputs(nice, session);
    std::fclose(session);
  }

  bool allowed_;
};

}  // namespace ripstop::perf
