// A killed supervisor's registers are gone with it, and what it leaves is the memory: points between two of
// its writes are one. The memory is write-protected while it is stepped; each write is seen before it is done.
#include "proof/healer_sweep.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>
#include <vector>

#include "proof/judge.h"
#include "proof/replica.h"
#include "proof/shared_block.h"
#include "proof/victim.h"

namespace ripstop::proof {

namespace {

bool is_settled(World& world, const Member& member) {
  supervisor::Registry& registry = world.registry();
  return registry.agent_state(member.place.id) == layout::AgentState::Free ||
         registry.agent_incarnation(member.place.id) != member.place.incarnation;
}

void settle(World& world, Member& member) {
  if (!is_settled(world, member)) world.registry().settle(member.place.id, true);
}

// What the supervisor is killed in, and what the next one does.
struct Healing {
  const char* words;
  std::function<void(World&)> first;
  Recovery next;
};

// The last member: in some recoveries it has died too.
Member& also_dead(World& world) { return world.members().back(); }

void heal_victim(World& world) { settle(world, world.members().front()); }
void heal_victim_first(World& world) {
  settle(world, world.members().front());
  settle(world, also_dead(world));
}
void heal_victim_last(World& world) {
  settle(world, also_dead(world));
  settle(world, world.members().front());
}
// What a supervisor does that takes over.
Recovery after_take_over(void (*heal)(World&)) {
  return [heal](World& world) {
    world.take_over();
    heal(world);
    return Finding{};
  };
}

const Healing kAlone = {"the victim's recovery", heal_victim, after_take_over(heal_victim)};
const Healing kAgain = {"the recovery after a recovery", [](World& world) { (void)kAlone.next(world); }, kAlone.next};
const Healing kTwo[] = {
    {"the victim's recovery and then another's", heal_victim_first, after_take_over(heal_victim_last)},
    {"another's recovery and then the victim's", heal_victim_last, after_take_over(heal_victim_first)},
};

class HealerSweep {
 public:
  HealerSweep(const Scenario& scenario, uint64_t only, Figures& figures)
      : scenario_(scenario), only_(only), figures_(figures), world_(scenario.shape) {
    scenario.prepare(world_);
    for (const World::Mapping& mapping : world_.mappings_of_supervisor()) {
      watched_.push_back({mapping.address, mapping.bytes, mapping.protection});
    }
    world_.prepare_copy();
  }

  void sweep_deaths(uint64_t turn) {
    const std::vector<Memory> deaths = collect_deaths();
    const bool all = turn == kAllTurns;
    counts_ = all || turn / kTurnCount % kCountedOf == 0;
    for (death_ = all ? 0 : deaths.size() / 2; death_ < deaths.size(); ++death_) {
      for (uint64_t each = all ? 0 : turn % kTurnCount; each < kTurnCount; ++each) {
        take_turn(deaths[death_], each);
        if (!all) return;
      }
    }
  }

  void sweep_request() {
    const Healing asked{"the request", [this](World& world) { scenario_.request(world); },
                        [this](World& world) {
                          world.take_over();
                          scenario_.request(world);
                          const Finding finding = look_at_tables(world);
                          heal_victim(world);
                          return finding;
                        }};
    (void)heal(asked, save(), true);
  }

 private:
  struct Memory {
    std::vector<std::byte> node;
    std::vector<std::byte> control;
    bool operator==(const Memory&) const = default;
  };
  Memory save() const { return {world_.save(), {world_.control().begin(), world_.control().end()}}; }
  void restore(const Memory& memory) {
    world_.restore(memory.node);
    std::memcpy(world_.control().data(), memory.control.data(), memory.control.size());
  }

  // What the stepped process writes.
  struct Trace {
    uint64_t instruction_count;
    uint64_t address;
  };

  static constexpr uint64_t kTurnCount = 4;
  // To count instructions costs more than all the rest: the short form does so for every so many of the turns.
  static constexpr uint64_t kCountedOf = 4;
  void take_turn(const Memory& death, uint64_t turn) {
    if (turn == 0) return (void)heal(kAlone, death, true);
    if (turn == 1) {  // The second supervisor is killed too, where the first one had come half way.
      const std::vector<Memory> states = heal(kAlone, death, false);
      return (void)heal(kAgain, states[states.size() / 2], true);
    }
    also_dead(world_).dead = true;
    (void)heal(kTwo[turn - 2], death, true);
    also_dead(world_).dead = false;
  }

  void fail(Fault fault, const Healing& healing, const char* words) {
    ++figures_.faults[static_cast<std::size_t>(fault)];
    if (figures_.first_words[0] != 0) return;
    std::snprintf(figures_.first_words, sizeof figures_.first_words,
                  "%s: killed at state %llu, the supervisor in %s, at point %llu (code %#llx): %s", scenario_.name().c_str(),
                  static_cast<unsigned long long>(death_), healing.words, static_cast<unsigned long long>(point_),
                  static_cast<unsigned long long>(trace_->address - program_start()), words);
  }

  // The memory as the victim may leave it.
  std::vector<Memory> collect_deaths() {
    const std::function<void()> operation = [this] { scenario_.operate(world_.members().front()); };
    std::vector<Victim::Watched> watched;
    for (const World::Mapping& mapping : world_.mappings_of(world_.members().front())) {
      watched.push_back({mapping.address, mapping.bytes, mapping.protection});
    }
    std::vector<Memory> deaths = {save()};
    replica_.emplace(world_.parts());
    Victim victim(operation, watched, true, &HealerSweep::stop, this, nullptr);
    while (victim.wait() == Victim::Event::Stopped) {
      if (Memory memory = save(); memory != deaths.back()) deaths.push_back(std::move(memory));
      victim.go_on();
    }
    if (Memory memory = save(); memory != deaths.back()) deaths.push_back(std::move(memory));
    return deaths;
  }

  // In the stepped process, before each write.
  static void stop(void* sweep, uint64_t address, bool) {
    auto& self = *static_cast<HealerSweep*>(sweep);
    self.trace_->address = address;
    if (self.replica_->has_changed()) Victim::stop_here();
  }

  // Steps through healing.first in that memory and answers the states that it leaves; after each of them
  // healing.next follows, if it is `judged`.
  std::vector<Memory> heal(const Healing& healing, const Memory& memory, bool judged) {
    restore(memory);
    *trace_ = {};
    decision_.reset();
    std::vector<World::Part> parts = world_.parts();
    parts.push_back({world_.control().data(), world_.control().size()});
    replica_.emplace(std::move(parts));
    std::vector<Memory> states = {save()};
    if (judged) judge_point(healing);
    Victim healer([&] { healing.first(world_); }, watched_, true, &HealerSweep::stop, this, judged && counts_ ? &trace_->instruction_count : nullptr);
    for (;;) {
      const Victim::Event event = healer.wait();
      if (event != Victim::Event::Stopped && event != Victim::Event::Returned) fail(Fault::Wrong, healing, "it ended its process");
      if (Memory now = save(); now != states.back()) {
        states.push_back(std::move(now));
        if (judged) judge_point(healing);
      }
      if (event != Victim::Event::Stopped) break;
      healer.go_on();
    }
    figures_.point_count += trace_->instruction_count;
    return states;
  }

  void judge_point(const Healing& healing) {
    ++figures_.state_count;
    const uint64_t point = next_point_++;
    if (only_ != kAllPoints && only_ != point) return;
    point_ = point;
    world_.prepare_copy();
    judge_apart(world_, scenario_, *verdict_, healing.next);
    ++figures_.trial_count;
    weigh(healing);
    if (!decision_) decision_ = verdict_->stages;
  }

  void weigh(const Healing& healing) {
    if (verdict_->fault != Fault::None) return fail(verdict_->fault, healing, verdict_->words);
    if (decision_ && *decision_ != verdict_->stages) {
      return fail(Fault::Lost, healing, "the next supervisor decides otherwise than the first one would have");
    }
    Stage all = Stage::Either;
    for (uint32_t i = 0; i < verdict_->subscription_count; ++i) {
      const Stage stage = verdict_->stages[i];
      if (stage == Stage::Either || stage == Stage::Evicted) continue;
      if (all != Stage::Either && stage != all) return fail(Fault::Lost, healing, "some receivers have it, others do not");
      all = stage;
    }
  }

  const Scenario& scenario_;
  uint64_t only_;
  Figures& figures_;
  World world_;
  std::vector<Victim::Watched> watched_;
  std::optional<Replica> replica_;
  uint64_t death_ = 0;  // Which of the victim's states it was left in.
  bool counts_ = true;
  uint64_t next_point_ = 0;  // Counts on through all recoveries.
  uint64_t point_ = 0;       // The one that is judged.
  // What was decided over the victim's message at the first point of a recovery: the same at all others.
  std::optional<std::array<Stage, kSubscriptionsMax>> decision_;
  Trace* trace_ = share<Trace>();
  Verdict* verdict_ = share<Verdict>();
};

}  // namespace

void sweep_healers(const Scenario& scenario, uint64_t turn, uint64_t only, Figures& figures) {
  // Never ended: what it holds is not to be given back in order.
  auto* whole = new HealerSweep(scenario, only, figures);
  whole->sweep_deaths(turn);
  figures.complete = true;
}

void sweep_request(const Scenario& scenario, uint64_t only, Figures& figures) {
  auto* whole = new HealerSweep(scenario, only, figures);  // As above.
  whole->sweep_request();
  figures.complete = true;
}

}  // namespace ripstop::proof
