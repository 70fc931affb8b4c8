// The oracle: recovery over the memory as a kill left it, and then the question whether everything that
// was promised is there and nothing else, from numbers kept outside of that memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "proof/scenario.h"

namespace ripstop::proof {

enum class Fault : uint8_t { None, Lost, Doubled, Leaked, Blocked, Wrong };
inline constexpr std::size_t kFaultCount = 6;

// Where a subscription stands: as before the operation, with its oldest message evicted, or with the
// operation's message. Either: it makes no difference there, because the message does not fit.
enum class Stage : uint8_t { Before, Evicted, After, Either };

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

// In a child: settles the victim in the copy of the memory and judges what the others find. Does not
// return: what the child has inherited is not its own to end.
[[noreturn]] void judge(World& world, const Scenario& scenario, Verdict& verdict);

// Forks such a child and waits for it.
void judge_apart(World& world, const Scenario& scenario, Verdict& verdict);

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
