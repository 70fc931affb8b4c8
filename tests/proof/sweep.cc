#include "proof/sweep.h"

#include <cstdio>
#include <cstring>
#include <vector>

#include "proof/shared_block.h"
#include "proof/victim.h"

namespace ripstop::proof {

namespace {

// No operation is longer.
constexpr uint64_t kPointsMax = 400'000;
// Nor does any write more often.
constexpr uint64_t kStatesMax = 4096;
constexpr uint64_t kHitsMax = 1 << 20;  // A power of two, more than points.
// A tick of the worlds' clock is 2^32 cycles (world.cc): longer than any sweep in so many.
constexpr uint64_t kClockSpanNs = 10'000;
// In K2 the oracle is asked after every so many real kills too; the others are compared.
constexpr uint64_t kKillsPerJudgement = 64;

struct Point {
  uint64_t address;
  uint64_t hit;    // count_hits()
  uint32_t state;  // Which of the distinct states of the memory, from 0.
  bool changed;    // The memory is another than one point before.
};

// What the victim writes while it steps.
struct Trace {
  uint64_t count = 0;
  uint32_t state_count = 0;
  bool over = false;
  Point points[kPointsMax];
};

class Sweep {
 public:
  Sweep(Suite suite, const Scenario& scenario, uint64_t stride, Figures& figures, Visited& visited)
      : scenario_(scenario), suite_(suite), stride_(stride), figures_(figures), visited_(visited), world_(scenario.shape) {
    scenario.prepare(world_);
    parts_ = world_.parts();
    expected_ = expect(world_, scenario);
    verdict_ = share<Verdict>();
    trace_ = share<Trace>();
    for (const World::Part& part : parts_) part_bytes_ += part.bytes;
    seen_ = share<std::byte>(part_bytes_);
    (void)follow(seen_);
    hits_ = share<Victim::Place>(kHitsMax);
    states_ = share<std::byte>(kStatesMax * part_bytes_);
    before_ = world_.save();
    world_.prepare_copy();
    // From here on this process allocates nothing: its victims inherit the heap, and the second is to find
    // it as the first did.
  }

  void run() {
    step_through();
    if (suite_ == Suite::K2) {
      count_hits();
      for (std::size_t k = 0; k + 1 < trace_->count; ++k) {
        if ((!trace_->points[k].changed && k % stride_ != 0) || is_kernels(trace_->points[k].address)) continue;
        world_.restore(before_);
        kill_at(k);
      }
    }
  }

 private:
  void fail(Fault fault, std::size_t k, const char* words) {
    ++figures_.faults[static_cast<std::size_t>(fault)];
    if (figures_.first_words[0] != 0) return;
    std::snprintf(figures_.first_words, sizeof figures_.first_words, "%s: killed at point %zu (code %#llx): %s",
                  scenario_.name().c_str(), k, static_cast<unsigned long long>(trace_->points[k].address - program_start()), words);
  }

  // Whether the memory still is `copy`; if not, makes the copy so.
  bool follow(std::byte* copy) const noexcept {
    bool same = true;
    for (const World::Part& part : parts_) {
      if (std::memcmp(copy, part.first, part.bytes) != 0) {
        same = false;
        std::memcpy(copy, part.first, part.bytes);
      }
      copy += part.bytes;
    }
    return same;
  }

  std::byte* state(uint64_t index) const noexcept { return states_ + index * part_bytes_; }

  // In the victim, at every point.
  static void record(void* sweep, uint64_t address, bool over) {
    auto& self = *static_cast<Sweep*>(sweep);
    Trace& trace = *self.trace_;
    if (trace.count == kPointsMax || trace.state_count == kStatesMax) Victim::die_here();
    const bool changed = !self.follow(self.seen_) || trace.count == 0;
    if (changed) ++trace.state_count;
    trace.points[trace.count++] = {address, 0, trace.state_count - 1, changed};
    trace.over = over;
    if (changed || over) Victim::stop_here();
  }
  // How often the victim had come to the k-th point's instruction, that time included. In memory that
  // is not the heap's.
  void count_hits() noexcept {
    for (uint64_t k = 0; k < trace_->count; ++k) {
      Point& point = trace_->points[k];
      uint64_t at = (point.address * 0x9e3779b97f4a7c15u) >> 44;
      while (hits_[at].address != point.address && hits_[at].address != 0) at = (at + 1) % kHitsMax;
      hits_[at].address = point.address;
      point.hit = ++hits_[at].hit;
    }
  }

  // Whether the memory is `copy` but for readings of the clock, which goes on from run to run.
  bool is_same(const std::byte* copy) const noexcept {
    const uint64_t clock_ns = world_.map().superblock().tsc_base_ns;
    for (const World::Part& part : parts_) {
      for (std::size_t at = 0; at < part.bytes; at += 8) {
        uint64_t here = 0;
        uint64_t there = 0;
        std::memcpy(&here, part.first + at, 8);
        std::memcpy(&there, copy + at, 8);
        if (here != there && (here - clock_ns > kClockSpanNs || there - clock_ns > kClockSpanNs)) return false;
      }
      copy += part.bytes;
    }
    return true;
  }

  void step_through() {
    Victim victim(operation_, &Sweep::record, this);
    for (;;) {
      const Victim::Event event = victim.wait();
      const std::size_t k = trace_->count == 0 ? 0 : trace_->count - 1;
      if (event == Victim::Event::Returned) break;
      if (event == Victim::Event::Killed) return fail(Fault::Blocked, k, "the operation does not end");
      if (event == Victim::Event::Crashed) return fail(Fault::Wrong, k, "the operation ended its process");
      if (suite_ == Suite::K2) std::memcpy(state(trace_->state_count - 1), seen_, part_bytes_);
      world_.prepare_copy();
      judge_apart(world_, scenario_, *verdict_);
      weigh(k);
      victim.go_on();
    }
    figures_.point_count = trace_->count;
    figures_.state_count = trace_->state_count;
    for (uint64_t k = 0; k < trace_->count; ++k) {
      const uint64_t offset = trace_->points[k].address - program_start();
      if (offset >= visited_.byte_count) continue;
      visited_.bytes[offset] = 1;
      ++figures_.library_point_count;
    }
    // The last verdict was after the operation had returned: its caller may rely on it.
    for (uint32_t i = 0; i < verdict_->subscription_count; ++i) {
      if (verdict_->stages[i] != expected_.stages[i]) return fail(Fault::Lost, trace_->count - 1, "sent, and not found by all");
    }
    if (verdict_->recovered_count != expected_.mail_after) fail(Fault::Wrong, trace_->count - 1, "the victim's messages do not add up");
  }

  // The verdict itself, and that each thing happens once along the points.
  void weigh(std::size_t k) {
    if (verdict_->fault != Fault::None) return fail(verdict_->fault, k, verdict_->words);
    if (verdict_->subscription_count != expected_.subscription_count) return fail(Fault::Wrong, k, "not all receivers were asked");
    Stage all = Stage::Either;
    for (uint32_t i = 0; i < verdict_->subscription_count; ++i) {
      const Stage stage = verdict_->stages[i];
      if (stage == Stage::Either) continue;
      if (stage < last_stages_[i]) return fail(Fault::Wrong, k, "what had been sent was taken back");
      last_stages_[i] = stage;
      if (expected_.evicts[i]) continue;
      if (all != Stage::Either && stage != all) return fail(Fault::Lost, k, "some receivers have it, others do not");
      all = stage;
    }
    if (verdict_->recovered_count > last_mail_ || verdict_->recovered_count > expected_.mail_before) {
      return fail(Fault::Doubled, k, "recovery released more messages than the victim had");
    }
    if (verdict_->recovered_count < expected_.mail_after) return fail(Fault::Lost, k, "messages of the victim are not accounted for");
    last_mail_ = verdict_->recovered_count;
  }

  void kill_at(std::size_t k) {
    Victim::Event event;
    {
      Victim victim(operation_, {trace_->points[k].address, trace_->points[k].hit});
      event = victim.wait();
    }
    if (event != Victim::Event::Killed) return fail(Fault::Wrong, k, "a second run went another way");
    ++figures_.kill_count;
    if (!is_same(state(trace_->points[k].state))) return fail(Fault::Wrong, k, "a real kill left other memory than the snapshot");
    if (figures_.kill_count % kKillsPerJudgement != 0) return;
    world_.prepare_copy();
    judge_apart(world_, scenario_, *verdict_);
    if (verdict_->fault != Fault::None) fail(verdict_->fault, k, verdict_->words);
  }

  const Scenario& scenario_;
  // One for all runs: the second one is to go through the same instructions.
  const std::function<void()> operation_ = [this] { scenario_.operate(world_.members().front()); };
  Suite suite_;
  uint64_t stride_;
  Figures& figures_;
  Visited& visited_;
  World world_;
  std::vector<World::Part> parts_;
  Expected expected_;
  Verdict* verdict_ = nullptr;
  Trace* trace_ = nullptr;
  std::size_t part_bytes_ = 0;
  std::byte* seen_ = nullptr;  // The memory at the last point.
  Victim::Place* hits_ = nullptr;
  std::byte* states_ = nullptr;
  std::vector<std::byte> before_;
  std::array<Stage, kSubscriptionsMax> last_stages_{};
  uint64_t last_mail_ = ~uint64_t{0};
};

}  // namespace

void sweep(Suite suite, const Scenario& scenario, uint64_t stride, Figures& figures, Visited& visited) {
  // Never ended: what it holds is not to be given back in order.
  auto* whole = new Sweep(suite, scenario, stride, figures, visited);
  whole->run();
  figures.complete = true;
}

}  // namespace ripstop::proof
