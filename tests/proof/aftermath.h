// What must be true once everything was taken, whatever happened before: no chunk is missing, every ring
// takes and gives exactly its capacity, a successor is served as anybody. And what a fault is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

#include "proof/world.h"

namespace ripstop::proof {

enum class Fault : uint8_t { None, Lost, Doubled, Leaked, Blocked, Wrong };
inline constexpr std::size_t kFaultCount = 6;

struct Finding {
  Fault fault = Fault::None;
  std::string words;
  bool is_fault() const noexcept { return fault != Fault::None; }
};

using Ids = std::deque<uint64_t>;
std::string to_text(const Ids& ids);

// Takes and releases all there is, as a receiver would. False: it goes on and on.
bool drain(Subscription& subscription, Ids& ids);

// Calls `visit(member, subscription)` for every subscription of every living member but the first, until
// it answers with a fault.
template <class Visit>
Finding for_each_survivor(World& world, Visit visit) {
  auto& members = world.members();
  for (std::size_t i = 1; i < members.size(); ++i) {
    if (members[i].dead) continue;
    for (Subscription& subscription : members[i].subscriptions) {
      if (Finding finding = visit(members[i], subscription); finding.is_fault()) return finding;
    }
  }
  return {};
}

// The survivors let go of what they have in their hands; then every chunk is free and no slab a dead
// member's.
Finding look_for_leaks(World& world, const std::string& when);
// `publisher` sends more than fits; each ring takes its capacity and gives it back.
Finding fill_and_drain(World& world, Member& publisher, const std::string& whose);
// The victim's place serves the next agent as a new one would.
Finding try_successor(World& world, Member& publisher);
// The numbers of the dead letters that were for `name`, smallest first: they lie in no order.
Ids dead_letters(World& world, const std::string& name);
// Nobody comes for the letters any more; what they kept is free again.
void drop_letters(World& world);
// The supervisor's tables agree with one another: routes with subscriptions, rings with both, and all of
// them with who lives.
Finding look_at_tables(World& world);

}  // namespace ripstop::proof
