// A stopped process has what it read before: where it stands between two touches of the fabric's memory
// makes no difference to anybody, itself included, and that is all that is left out. So the points are the
// touches, reads too, and each stands for the instructions since the last one.
//
// At a point the victim splits off a double that has its registers and a copy of the memory, and waits at
// a gate; the judge, in the same copy, lets the others act and then decides over it.
#include "proof/stop_sweep.h"

#include <signal.h>

#include <cstdio>
#include <optional>
#include <vector>

#include "proof/replica.h"
#include "proof/shared_block.h"
#include "proof/stop_court.h"
#include "proof/victim.h"

namespace ripstop::proof {

namespace {

// Places for those who come while the victim is stopped.
constexpr uint32_t kGuestPlaces = 3;

class StopSweep {
 public:
  StopSweep(const Scenario& scenario, uint64_t stride, uint64_t only, Figures& figures)
      : scenario_(scenario), stride_(stride), only_(only), figures_(figures), world_(with_guests(scenario.shape)) {
    scenario.prepare(world_);
    victim().last_sent.reset();
    for (Subscription& subscription : victim().subscriptions) subscription.last_taken = 0;
    mine_ = world_.mappings_of(victim());
    for (const World::Mapping& mapping : mine_) watched_.push_back({mapping.address, mapping.bytes, mapping.protection});
    replica_.emplace(world_.parts());
    world_.prepare_copy();
  }

  void run() {
    const auto operation = [this] {
      scenario_.operate(victim());
      if (is_double_) stopped_->report(victim());
    };
    Victim stepped(operation, watched_, false, &StopSweep::touch, this, &trace_->instruction_count);
    for (;;) {
      const Victim::Event event = stepped.wait();
      if (event == Victim::Event::Returned) break;
      if (event != Victim::Event::Stopped) return fail(Fault::Wrong, "the operation ended its process");
      judge_stop(world_, scenario_, trace_->fate, *stopped_, *verdict_);
      kill(stopped_->pid, SIGKILL);
      ++figures_.trial_count;
      if (verdict_->fault != Fault::None) fail(verdict_->fault, verdict_->words);
      stepped.go_on();
    }
    figures_.point_count = trace_->covered_count;
    figures_.state_count = trace_->tried_count;
  }

 private:
  // What the victim writes while it steps.
  struct Trace {
    uint64_t instruction_count;
    uint64_t touch_count;
    uint64_t covered_at;     // The instructions up to here have been counted or passed by.
    uint64_t covered_count;  // Instructions that a tried touch stands for.
    uint64_t tried_count;
    uint64_t address;
    Fate fate;
  };

  static Shape with_guests(Shape shape) {
    shape.agents += kGuestPlaces;
    return shape;
  }
  Member& victim() { return world_.members().front(); }

  void fail(Fault fault, const char* words) {
    ++figures_.faults[static_cast<std::size_t>(fault)];
    if (figures_.first_words[0] != 0) return;
    std::snprintf(figures_.first_words, sizeof figures_.first_words, "%s: stopped at touch %llu (code %#llx), %s: %s",
                  scenario_.name().c_str(), static_cast<unsigned long long>(trace_->touch_count - 1),
                  static_cast<unsigned long long>(trace_->address - program_start()), to_text(trace_->fate), words);
  }

  // In the victim, before each touch and at the end.
  static void touch(void* sweep, uint64_t address, bool over) {
    auto& self = *static_cast<StopSweep*>(sweep);
    Trace& trace = *self.trace_;
    const uint64_t index = trace.touch_count++;
    trace.address = address;
    const bool changed = self.replica_->has_changed() || index == 0;
    const bool tried = self.only_ != kAllPoints ? index == self.only_ : changed || index % self.stride_ == 0;
    if (tried) {
      ++trace.tried_count;
      trace.covered_count += trace.instruction_count - trace.covered_at;
    }
    trace.covered_at = trace.instruction_count;
    if (!tried) return;
    for (uint32_t fate = 0; fate < kFateCount; ++fate) {
      trace.fate = static_cast<Fate>(fate);
      const bool all = self.stride_ == 1 || self.only_ != kAllPoints;
      // A killed one's registers are gone with it: only the memory counts. The two others take turns.
      if (!all && trace.fate == Fate::Killed && !changed) continue;
      if (!all && trace.fate != Fate::Killed && fate % 2 != trace.tried_count % 2) continue;
      if (over && trace.fate != Fate::Killed) continue;
      if (!self.split()) return;
    }
  }

  // False in the double.
  bool split() {
    world_.prepare_copy();
    new (stopped_) Stopped;
    const pid_t pid = Victim::split();
    if (pid == 0) {
      is_double_ = true;
      world_.enter_copy(mine_);
      stopped_->wait_at_gate();
      return false;
    }
    stopped_->pid = pid;
    Victim::stop_here();
    return true;
  }

  const Scenario& scenario_;
  uint64_t stride_;
  uint64_t only_;
  Figures& figures_;
  World world_;
  std::vector<World::Mapping> mine_;  // The victim's, which its double has as a copy.
  std::vector<Victim::Watched> watched_;
  std::optional<Replica> replica_;
  Trace* trace_ = share<Trace>();
  Stopped* stopped_ = share<Stopped>();
  Verdict* verdict_ = share<Verdict>();
  bool is_double_ = false;
};

}  // namespace

void sweep_stops(const Scenario& scenario, uint64_t stride, uint64_t only, Figures& figures) {
  // Never ended: what it holds is not to be given back in order.
  auto* whole = new StopSweep(scenario, stride, only, figures);
  whole->run();
  figures.complete = true;
}

}  // namespace ripstop::proof
