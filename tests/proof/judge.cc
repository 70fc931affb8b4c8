#include "proof/judge.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "base/check.h"
#include "proof/patience.h"

namespace ripstop::proof {

namespace {

// Longer than any judgement: what is not over by then hangs.
constexpr int kHangSeconds = 20;

class Court {
 public:
  Court(World& world, const Scenario& scenario, const Recovery& recovery, Verdict& verdict)
      : world_(world), scenario_(scenario), recovery_(recovery), verdict_(verdict), message_(world.next_id()) {}

  void run() {
    Member& other = world_.members()[1];
    be_quick() && recover() && ask_receivers() && check_sequence() && ask_heir() && is_well(look_for_leaks(world_, "after the drain")) &&
        is_well(look_at_tables(world_)) && is_well(fill_and_drain(world_, other, "the survivors")) &&
        is_well(try_successor(world_, other)) && is_well(look_for_leaks(world_, "after the successor"));
    verdict_.complete = true;
  }

 private:
  bool fail(Fault fault, const std::string& words) {
    verdict_.fault = fault;
    std::snprintf(verdict_.words, sizeof verdict_.words, "%s", words.c_str());
    return false;
  }
  bool is_well(const Finding& finding) { return !finding.is_fault() || fail(finding.fault, finding.words); }

  // The receivers may be faster than recovery.
  bool be_quick() {
    if (!scenario_.quick_receivers) return true;
    return is_well(for_each_survivor(world_, [&](Member& member, Subscription& subscription) -> Finding {
      if (drain(subscription, early_.emplace_back())) return {};
      return {Fault::Blocked, member.name + " takes without end"};
    }));
  }

  // The death, and recovery again as by a supervisor that was killed at its end.
  bool recover() {
    Member& victim = world_.members().front();
    const auto& super = victim.core->view().superblock();
    const uint64_t before = super.recovered_messages.load();
    if (!is_well(recovery_(world_))) return false;
    victim.dead = true;
    verdict_.recovered_count = super.recovered_messages.load() - before;
    if (super.corrupt_words.load() != 0) return fail(Fault::Wrong, "recovery found words out of bounds");

    const std::vector<std::byte> once = world_.save();
    control::Settlement again(world_.map());
    const control::Settled settled = again.settle(victim.place.id, victim.place.incarnation, {});
    if (settled.message_count + settled.chunk_count + settled.completed_count + settled.full_count + settled.corrupt_count != 0) {
      return fail(Fault::Doubled, "recovery, run again, found something to do");
    }
    // The word that waiters for room sleep on moves each time; nothing else may.
    const std::vector<std::byte> twice = world_.save();
    uint32_t changed_count = 0;
    for (std::size_t at = 0; at < once.size(); at += 4) changed_count += std::memcmp(&once[at], &twice[at], 4) != 0 ? 1 : 0;
    if (changed_count > 1) return fail(Fault::Doubled, "recovery, run again, changed the memory");
    return true;
  }

  bool ask_receivers() {
    return is_well(for_each_survivor(world_, [&](Member& member, Subscription& subscription) -> Finding {
      const std::atomic<uint32_t>& bell = member.core->block().front.doorbell;
      const uint32_t word = bell.load();
      Ids found = scenario_.quick_receivers ? early_[verdict_.subscription_count] : Ids{};
      const std::size_t early_count = found.size();
      if (!drain(subscription, found)) return {Fault::Blocked, member.name + " takes without end"};
      if (found.size() > early_count && (word & layout::kDoorbellArmed) != 0 && (word & layout::kDoorbellRung) == 0) {
        return {Fault::Blocked, member.name + " sleeps on a message and nobody rings"};
      }
      return place(member, subscription, found);
    })) && look_further();
  }

  // What the scenario has beside subscriptions: one more stage.
  bool look_further() {
    if (!scenario_.look) return true;
    return is_well(scenario_.look(world_, message_, verdict_.stages[verdict_.subscription_count++]));
  }

  // A publisher that attaches again learns the last sequence that it committed.
  bool check_sequence() {
    // A message that went to another dead one only is committed, and nobody has it.
    const auto& members = world_.members();
    const Member& victim = members.front();
    if (std::count_if(members.begin(), members.end(), [](const Member& member) { return member.dead; }) > 1 || scenario_.look) return true;
    bool sent = false;
    for (uint32_t i = 0; i < verdict_.subscription_count; ++i) {
      if (verdict_.stages[i] == Stage::Evicted) return true;  // Not said by what is there.
      sent = sent || verdict_.stages[i] == Stage::After;
    }
    const uint64_t committed = victim.sent_count + (sent ? 1 : 0);
    const uint64_t sequence = victim.core->block().publishers[0].sequence.load();
    if (sequence == committed) return true;
    return fail(Fault::Wrong, "the victim's last sequence is " + std::to_string(sequence) + ", committed were " + std::to_string(committed));
  }

  Finding place(const Member& member, const Subscription& subscription, const Ids& found) {
    const Ids& before = subscription.expected;
    const bool full = before.size() >= subscription.room;
    Ids evicted = before;
    if (full && subscription.overflow == Overflow::DropOldest) evicted.pop_front();
    Ids after = evicted;
    after.push_back(message_);
    const bool fits = !full || subscription.overflow == Overflow::DropOldest;
    Stage stage = Stage::Before;
    if (scenario_.send_count == 0 || !fits) stage = Stage::Either;
    else if (found == after) stage = Stage::After;
    else if (evicted != before && found == evicted) stage = Stage::Evicted;
    verdict_.stages[verdict_.subscription_count++] = stage;
    if (stage == Stage::After || stage == Stage::Evicted || found == before) return {};
    const std::string words = member.name + " found " + to_text(found) + ", expected " + to_text(before) + " or " + to_text(after);
    if (std::set<uint64_t>(found.begin(), found.end()).size() < found.size()) return {Fault::Doubled, words};
    for (const uint64_t id : before) {
      if (std::find(found.begin(), found.end(), id) == found.end()) return {Fault::Lost, words};
    }
    return {Fault::Wrong, words};
  }

  // What the victim had not handled: its successor has it, in order and with one attempt more, or, where its
  // ring has no room, it is a dead letter.
  bool ask_heir() {
    if (!world_.shape().successors) return true;
    const Member& victim = world_.members().front();
    Ids before;
    for (const Kept& kept : victim.in_hand) before.push_back(kept.id);
    for (const Subscription& subscription : victim.subscriptions) before.insert(before.end(), subscription.expected.begin(), subscription.expected.end());
    Member& heir = world_.attach(victim.name);
    Ids found;
    for (const Subscription& subscription : victim.subscriptions) {
      SubscriberOptions options;
      options.overflow = subscription.overflow;
      options.own_ring = subscription.ring_id != 0;
      options.slot_count = subscription.slot_count;
      Subscription& own = world_.subscribe(heir, options);
      for (uint32_t bound = 0; bound < 4096; ++bound) {
        const auto message = own.take();
        if (!message) break;
        const uint32_t attempt = message->info().attempt;
        if (attempt < 1 || attempt > scenario_.attempts_max) {
          return fail(Fault::Wrong, "the successor got a message as if it had been delivered " + std::to_string(attempt) + " times");
        }
        found.push_back(World::read(*message));
      }
    }
    const Ids dead = dead_letters(world_, victim.name);
    found.insert(found.end(), dead.begin(), dead.end());  // They are the last that came.
    drop_letters(world_);
    // But for those that became dead letters while it lived.
    if (scenario_.attempts_max > 1) std::sort(found.begin(), found.end());
    if (found == before) return true;
    // One that the victim was about to release may be gone.
    for (std::size_t i = 0; i < before.size() && scenario_.release_count != 0; ++i) {
      Ids released = before;
      released.erase(released.begin() + static_cast<std::ptrdiff_t>(i));
      if (found == released) return true;
    }
    const std::string words = "the successor found " + to_text(found) + ", expected " + to_text(before);
    const bool doubled = std::set<uint64_t>(found.begin(), found.end()).size() < found.size();
    return fail(doubled ? Fault::Doubled : found.size() < before.size() ? Fault::Lost : Fault::Wrong, words);
  }

  World& world_;
  const Scenario& scenario_;
  const Recovery& recovery_;
  Verdict& verdict_;
  std::vector<Ids> early_;  // What quick receivers took, each subscription's.
  const uint64_t message_;  // The number that the victim gave.
};

}  // namespace

Finding settle_victim(World& world) {
  world.registry().settle(world.members().front().place.id, true);
  return {};
}

pid_t fork_judge(Verdict& verdict) {
  verdict = Verdict{};
  const pid_t pid = fork();
  RIPSTOP_CHECK(pid >= 0);
  if (pid == 0) lose_patience_after(kHangSeconds);
  return pid;
}

void await_judge(pid_t pid, Verdict& verdict) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (verdict.complete) return;
  const bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
  verdict.fault = hung ? Fault::Blocked : Fault::Wrong;
  std::snprintf(verdict.words, sizeof verdict.words, hung ? "recovery or a survivor hangs" : "recovery or a survivor crashed, status %d", status);
}

void judge_apart(World& world, const Scenario& scenario, Verdict& verdict, const Recovery& recovery) {
  judge_in_child(verdict, [&] {
    world.enter_copy();
    Court(world, scenario, recovery, verdict).run();
  });
}

Expected expect(World& world, const Scenario& scenario) {
  Expected expected;
  auto& members = world.members();
  for (std::size_t i = 1; i < members.size(); ++i) {
    if (members[i].dead) continue;
    for (const Subscription& subscription : members[i].subscriptions) {
      const bool full = subscription.expected.size() >= subscription.room;
      const bool evicts = full && subscription.overflow == Overflow::DropOldest;
      expected.evicts[expected.subscription_count] = evicts;
      const bool either = scenario.send_count == 0 || (full && !evicts);
      expected.stages[expected.subscription_count++] = either ? Stage::Either : Stage::After;
    }
  }
  if (scenario.look) expected.stages[expected.subscription_count++] = Stage::After;
  for (const Subscription& subscription : members.front().subscriptions) expected.mail_before += subscription.expected.size();
  expected.mail_before += members.front().in_hand.size() - scenario.gone_count;
  expected.mail_after = expected.mail_before - scenario.release_count;
  return expected;
}

}  // namespace ripstop::proof
