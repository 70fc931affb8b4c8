#include "proof/judge.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>

#include "memory/holders.h"

namespace ripstop::proof {

namespace {

using Ids = std::deque<uint64_t>;

// Longer than any judgement: what is not over by then hangs.
constexpr unsigned kHangSeconds = 20;

class Court {
 public:
  Court(World& world, const Scenario& scenario, Verdict& verdict)
      : world_(world), scenario_(scenario), verdict_(verdict), message_(world.next_id()) {}

  void run() {
    be_quick() && recover() && ask_receivers() && look_for_leaks("after the drain") && fill_and_drain("the survivors") &&
        try_successor() && look_for_leaks("after the successor");
    verdict_.complete = true;
  }

 private:
  bool fail(Fault fault, const std::string& words) {
    verdict_.fault = fault;
    std::snprintf(verdict_.words, sizeof verdict_.words, "%s", words.c_str());
    return false;
  }

  // The receivers may be faster than recovery.
  bool be_quick() {
    if (!scenario_.quick_receivers) return true;
    return for_each_survivor([&](Member& member, Subscription& subscription) {
      return drain(subscription, early_.emplace_back()) || fail(Fault::Blocked, member.name + " takes without end");
    });
  }

  // The death, and recovery again as by a supervisor that was killed at its end.
  bool recover() {
    Member& victim = world_.members().front();
    const auto& super = victim.core->view().superblock();
    const uint64_t before = super.recovered_messages.load();
    world_.registry().settle(victim.place.id, true);
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

  template <class Visit>
  bool for_each_survivor(Visit visit) {
    auto& members = world_.members();
    for (std::size_t i = 1; i < members.size(); ++i) {
      for (Subscription& subscription : members[i].subscriptions) {
        if (!visit(members[i], subscription)) return false;
      }
    }
    return true;
  }

  // False: it goes on and on.
  static bool drain(Subscription& subscription, Ids& ids) {
    for (uint32_t bound = 0; bound < 4096; ++bound) {
      const uint64_t id = subscription.take_and_release();
      if (id == 0) return true;
      ids.push_back(id);
    }
    return false;
  }

  static std::string to_text(const Ids& ids) {
    std::string text = "[";
    for (const uint64_t id : ids) text += (text.size() > 1 ? " " : "") + (id == ~uint64_t{0} ? "torn" : std::to_string(id));
    return text + "]";
  }

  bool ask_receivers() {
    return for_each_survivor([&](Member& member, Subscription& subscription) {
      const std::atomic<uint32_t>& bell = member.core->block().front.doorbell;
      const uint32_t word = bell.load();
      Ids found = scenario_.quick_receivers ? early_[verdict_.subscription_count] : Ids{};
      const std::size_t early_count = found.size();
      if (!drain(subscription, found)) return fail(Fault::Blocked, member.name + " takes without end");
      if (found.size() > early_count && (word & layout::kDoorbellArmed) != 0 && (word & layout::kDoorbellRung) == 0) {
        return fail(Fault::Blocked, member.name + " sleeps on a message and nobody rings");
      }
      return place(member, subscription, found);
    });
  }

  bool place(const Member& member, const Subscription& subscription, const Ids& found) {
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
    if (stage == Stage::After || stage == Stage::Evicted || found == before) return true;
    const std::string words = member.name + " found " + to_text(found) + ", expected " + to_text(before) + " or " + to_text(after);
    if (std::set<uint64_t>(found.begin(), found.end()).size() < found.size()) return fail(Fault::Doubled, words);
    for (const uint64_t id : before) {
      if (std::find(found.begin(), found.end(), id) == found.end()) return fail(Fault::Lost, words);
    }
    return fail(Fault::Wrong, words);
  }

  bool look_for_leaks(const char* when) {
    for (Member& member : world_.members()) {
      if (&member == &world_.members().front()) continue;
      for (const Kept& kept : member.in_hand) {
        if (World::read(kept.message) != kept.id) return fail(Fault::Lost, member.name + "'s message changed in its hands");
      }
      member.in_hand.clear();
      member.loan.reset();
    }
    const memory::ChunkMap& chunks = world_.map().chunks();
    for (uint32_t slab = 0; slab < chunks.slab_count(0); ++slab) {
      for (uint32_t index = 0; index < chunks.slab(0, slab).chunk_count; ++index) {
        const memory::Holders holders = memory::read_holders(*chunks.find(layout::make_chunk_id(0, slab, index)));
        if (holders.bits == 0) continue;
        char words[96];
        std::snprintf(words, sizeof words, "chunk %u of slab %u keeps bits %llx %s", index, slab,
                      static_cast<unsigned long long>(holders.bits), when);
        return fail(Fault::Leaked, words);
      }
      const uint32_t owner = layout::slab_owner_agent(chunks.slab_owner(0, slab).load());
      // A successor may have the victim's number.
      if (owner == world_.members().front().place.id && world_.members().back().place.id != owner) {
        return fail(Fault::Leaked, "slab " + std::to_string(slab) + " is still the victim's");
      }
    }
    return true;
  }

  // Every ring takes and gives exactly its capacity.
  bool fill_and_drain(const std::string& whose) {
    Member& other = world_.members()[1];
    uint32_t sends = 0;
    for_each_survivor([&](Member&, const Subscription& subscription) {
      sends = std::max(sends, subscription.slot_count + 1);
      return true;
    });
    Ids sent;
    for (uint32_t i = 0; i < sends; ++i) {
      const Sent outcome = other.send();
      if (outcome.outcome == SendOutcome::PoolEmpty) return fail(Fault::Leaked, whose + ": no chunk is left to fill the rings with");
      sent.push_back(world_.last_id());
    }
    return for_each_survivor([&](Member& member, Subscription& subscription) {
      Ids expected;
      for (uint32_t i = 0; i < subscription.slot_count; ++i) {
        expected.push_back(subscription.overflow == Overflow::DropOldest ? sent[sent.size() - subscription.slot_count + i] : sent[i]);
      }
      Ids found;
      if (!drain(subscription, found)) return fail(Fault::Blocked, member.name + " takes without end");
      if (found == expected) return true;
      return fail(Fault::Blocked, whose + ": " + member.name + " took " + to_text(found) + " of " + to_text(sent));
    });
  }

  // The victim's place serves the next agent as a new one would.
  bool try_successor() {
    Member& successor = world_.attach("successor");
    (void)world_.subscribe(successor);
    return fill_and_drain("the successor");
  }

  World& world_;
  const Scenario& scenario_;
  Verdict& verdict_;
  std::vector<Ids> early_;  // What quick receivers took, each subscription's.
  const uint64_t message_;  // The number that the victim gave.
};

}  // namespace

void judge(World& world, const Scenario& scenario, Verdict& verdict) {
  alarm(kHangSeconds);
  world.enter_copy();
  Court(world, scenario, verdict).run();
  _exit(0);
}

void judge_apart(World& world, const Scenario& scenario, Verdict& verdict) {
  verdict = Verdict{};
  const pid_t pid = fork();
  if (pid == 0) judge(world, scenario, verdict);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (verdict.complete) return;
  const bool hung = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
  verdict.fault = hung ? Fault::Blocked : Fault::Wrong;
  std::snprintf(verdict.words, sizeof verdict.words, hung ? "recovery or a survivor hangs" : "recovery or a survivor crashed, status %d", status);
}

Expected expect(World& world, const Scenario& scenario) {
  Expected expected;
  auto& members = world.members();
  for (std::size_t i = 1; i < members.size(); ++i) {
    for (const Subscription& subscription : members[i].subscriptions) {
      const bool full = subscription.expected.size() >= subscription.room;
      const bool evicts = full && subscription.overflow == Overflow::DropOldest;
      expected.evicts[expected.subscription_count] = evicts;
      const bool either = scenario.send_count == 0 || (full && !evicts);
      expected.stages[expected.subscription_count++] = either ? Stage::Either : Stage::After;
    }
  }
  for (const Subscription& subscription : members.front().subscriptions) expected.mail_before += subscription.expected.size();
  expected.mail_before += members.front().in_hand.size();
  expected.mail_after = expected.mail_before - scenario.release_count;
  return expected;
}

}  // namespace ripstop::proof
