// Agents that do not get on with what they were sent: they hold messages, waiting or in hand, and have
// neither taken nor released one for a while.
//
// What is late says nothing of why: a stopped process, an endless loop and an hour's work on one message
// look alike. What follows from it is the policy of whoever asks.
//
// It trusts no byte of a node segment: numbers are bounded, loops end with the capacity of what they walk.
#pragma once

#include <cstdint>
#include <vector>

#include "control/fabric_map.h"

namespace ripstop::control {

// Thread: one. It remembers what it saw.
class Overdue {
 public:
  // Lifetime: `map` outlives it.
  explicit Overdue(const FabricMap& map) : map_(map), seen_(map.agent_capacity()) {}

  // Agents without progress in all looks of the last `lease_ns`. `now_ns`: any clock, the same one each time.
  std::vector<uint32_t> find(uint64_t now_ns, uint64_t lease_ns);

 private:
  struct Seen {
    uint64_t agent_word = 0;  // Of the agent this is about.
    uint64_t taken = 0;
    uint64_t released = 0;
    uint64_t since_ns = 0;    // The last look at which it had got on, or held nothing.
  };
  bool holds_any(uint32_t agent_id, const layout::AgentBlock& block) const noexcept;
  bool holds_in_own_rings(uint32_t agent_id) const noexcept;
  bool holds_direct(const layout::AgentBlock& block) const noexcept;

  const FabricMap& map_;
  std::vector<Seen> seen_;  // By agent.
};

}  // namespace ripstop::control
