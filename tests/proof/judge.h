// The oracle: recovery over the memory as a kill left it, and then the question whether everything that
// was promised is there and nothing else, from numbers kept outside of that memory.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "proof/aftermath.h"
#include "proof/scenario.h"

namespace ripstop::proof {

inline constexpr std::size_t kSubscriptionsMax = 80;

// Written by a child, read by its parent.
struct Verdict {
  bool complete = false;
  Fault fault = Fault::None;
  char words[200] = {};
  uint32_t subscription_count = 0;
  std::array<Stage, kSubscriptionsMax> stages{};
  uint64_t recovered_count = 0;  // Messages of the victim that recovery released.
};

// Who settles whom, in the copy of the memory.
using Recovery = std::function<Finding(World&)>;
// The supervisor settles the victim.
Finding settle_victim(World& world);

// Forks a child that lets the dead be settled in the copy of the memory, judges what the others find, and
// waits for it. What the child has inherited is not its own to end.
void judge_apart(World& world, const Scenario& scenario, Verdict& verdict, const Recovery& recovery = settle_victim);

// Forks; the child, for which it answers 0, has limited patience.
pid_t fork_judge(Verdict& verdict);
// Waits for it. A verdict that says not that it is complete becomes a fault.
void await_judge(pid_t pid, Verdict& verdict);

// Calls `judgement` in such a child. Allocates nothing.
template <class Judgement>
void judge_in_child(Verdict& verdict, const Judgement& judgement) {
  if (const pid_t pid = fork_judge(verdict); pid != 0) return await_judge(pid, verdict);
  judgement();
  _exit(0);
}

// What a whole operation must leave: each subscription's last stage, and the messages that stay with
// the victim.
struct Expected {
  std::array<Stage, kSubscriptionsMax> stages{};
  std::array<bool, kSubscriptionsMax> evicts{};
  uint32_t subscription_count = 0;
  uint64_t mail_before = 0;
  uint64_t mail_after = 0;
};
Expected expect(World& world, const Scenario& scenario);

}  // namespace ripstop::proof
