// Not on a copy: what the kernel knows of who sleeps where is not in memory. So the victim is a process
// that runs at full speed to its point and is killed or stopped there, on the fabric's own memory, which is
// put back afterwards.
#include "proof/wake_sweep.h"

#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <deque>
#include <map>

#include "control/sleepers.h"
#include "proof/judge.h"
#include "proof/replica.h"
#include "proof/shared_block.h"
#include "proof/sleeper_process.h"
#include "proof/victim.h"

namespace ripstop::proof {

namespace {

constexpr uint64_t kPointsMax = 100'000;

class WakeSweep {
 public:
  WakeSweep(const WakeScenario& scenario, uint64_t only, Figures& figures)
      : scenario_(scenario), only_(only), figures_(figures), world_(scenario.shape) {
    scenario.prepare(world_);
    sleepers_ = scenario.sleepers(world_);
    // The tick stands still: a publisher has to start it.
    world_.segments().superblock().watch.store(layout::kWatchUnit | layout::kWatchStopped);
    node_ = world_.save();
    control_.assign(world_.control().begin(), world_.control().end());
    replica_.emplace(world_.parts());
    for (const Asleep& sleeper : sleepers_) processes_.emplace_back(sleeper);
  }

  void run() {
    step_through();
    std::map<uint64_t, uint64_t> hits;
    bool waking = false;
    for (uint64_t k = 0; k < trace_->count; ++k) {
      const Point& point = trace_->points[k];
      const Victim::Place place{point.address, ++hits[point.address]};
      waking = waking || point.has_news;
      if (!waking && !point.changed) continue;
      if (only_ != kAllPoints && only_ != k) continue;
      // After the last instruction, and in the kernel's own page, no trap can be set.
      if (k + 1 == trace_->count || is_kernels(point.address)) continue;
      ++figures_.point_count;
      try_at(k, place, Victim::End::Dies);
      if (scenario_.is_ticked) try_at(k, place, Victim::End::Stops);
    }
  }

 private:
  struct Point {
    uint64_t address;
    bool changed;
    bool has_news;
  };
  struct Trace {
    uint64_t count;
    Point points[kPointsMax];
  };
  void fail(uint64_t k, Victim::End end, const std::string& words) {
    ++figures_.faults[static_cast<std::size_t>(Fault::Blocked)];
    if (figures_.first_words[0] != 0) return;
    std::snprintf(figures_.first_words, sizeof figures_.first_words, "%s: %s at point %llu (code %#llx): %s", scenario_.name.c_str(),
                  end == Victim::End::Dies ? "killed" : "stopped", static_cast<unsigned long long>(k),
                  static_cast<unsigned long long>(trace_->points[k].address - program_start()), words.c_str());
  }

  void restore() {
    world_.restore(node_);
    std::memcpy(world_.control().data(), control_.data(), control_.size());
    uint64_t count = 0;
    pollfd bell{world_.segments().bell(), POLLIN, 0};
    if (poll(&bell, 1, 0) == 1) (void)!read(bell.fd, &count, sizeof count);
  }

  // In the victim, at every point.
  static void record(void* sweep, uint64_t address, bool) {
    auto& self = *static_cast<WakeSweep*>(sweep);
    Trace& trace = *self.trace_;
    if (trace.count == kPointsMax) Victim::die_here();
    const bool changed = self.replica_->has_changed() || trace.count == 0;
    bool has_news = trace.count > 0 && trace.points[trace.count - 1].has_news;
    if (changed && !has_news) has_news = self.is_there_news();
    trace.points[trace.count++] = {address, changed, has_news};
  }
  bool is_there_news() const {
    for (const Asleep& sleeper : sleepers_) {
      if (sleeper.has_news()) return true;
    }
    return false;
  }

  void step_through() {
    Victim victim(operation_, &WakeSweep::record, this);
    if (victim.wait() != Victim::Event::Returned) fail(0, Victim::End::Dies, "the operation does not end");
    figures_.state_count = trace_->count;
  }

  // With the victim dead it is settled; with the victim stopped the supervisor's tick comes. Then nobody
  // sleeps who has news.
  void try_at(uint64_t k, Victim::Place place, Victim::End end) {
    restore();
    for (SleeperProcess& process : processes_) process.fall_asleep();
    // A tick that has looked before, every other time.
    control::Sleepers tick(world_.map());
    if (k % 2 == 1) (void)tick.ring();
    {
      Victim victim(operation_, place, end);
      const Victim::Event event = victim.wait();
      if (event != (end == Victim::End::Dies ? Victim::Event::Killed : Victim::Event::Stopped)) {
        fail(k, end, "a second run went another way");
      } else {
        ++figures_.kill_count;
        look(k, end, tick);
      }
    }
    for (SleeperProcess& process : processes_) process.get_up();
  }

  void look(uint64_t k, Victim::End end, control::Sleepers& tick) {
    // Another process: the memory is put back afterwards, and what it knows goes with it.
    judge_in_child(*verdict_, [&] {
      if (end == Victim::End::Dies) (void)settle_victim(world_);
      for (std::size_t i = 0; i < sleepers_.size(); ++i) has_news_[i] = sleepers_[i].has_news();
      if (end == Victim::End::Stops) {
        check_tick_starts();
        (void)tick.ring();
      }
      verdict_->complete = true;
    });
    if (verdict_->fault != Fault::None) return fail(k, end, verdict_->words);
    std::size_t i = 0;
    for (const SleeperProcess& process : processes_) {
      if (has_news_[i] && process.is_asleep()) return fail(k, end, sleepers_[i].name + " sleeps, and there is what it waits for");
      ++i;
    }
  }

  // Whoever sleeps on something now is the tick's business, which stands still until the bell is written.
  void check_tick_starts() {
    pollfd bell{world_.segments().bell(), POLLIN, 0};
    if (poll(&bell, 1, 0) == 1) return;
    std::size_t i = 0;
    for (const SleeperProcess& process : processes_) {
      if (!has_news_[i++] || !process.is_asleep()) continue;
      verdict_->fault = Fault::Blocked;
      std::snprintf(verdict_->words, sizeof verdict_->words, "nobody has started the tick");
    }
  }

  const WakeScenario& scenario_;
  const std::function<void()> operation_ = [this] { scenario_.operate(world_.members().front()); };
  uint64_t only_;
  Figures& figures_;
  World world_;
  std::vector<Asleep> sleepers_;
  std::deque<SleeperProcess> processes_;
  std::vector<std::byte> node_;
  std::vector<std::byte> control_;
  std::optional<Replica> replica_;
  Trace* trace_ = share<Trace>();
  bool* has_news_ = share<bool>(kSubscriptionsMax);  // By sleeper. Written by the judge.
  Verdict* verdict_ = share<Verdict>();
};

}  // namespace

void sweep_wakes(const WakeScenario& scenario, uint64_t only, Figures& figures) {
  // Never ended: what it holds is not to be given back in order. Its sleepers go with this process.
  auto* whole = new WakeSweep(scenario, only, figures);
  whole->run();
  figures.complete = true;
}

}  // namespace ripstop::proof
