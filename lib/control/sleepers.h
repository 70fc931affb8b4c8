// Who sleeps on a non-empty inbox, though nobody is about to ring: its publisher was stopped, or lost
// its processor, between the push and the doorbell.
//
// A message that lies in its slot may have been seen: it stays there while it is in the user's hands,
// and its taker may well sleep on the next one. So a ring is rung for once, and again only when more
// was pushed: what was there before the sleeper armed, its last look has seen.
//
// It trusts no byte of a node segment: numbers are bounded, loops end with the capacity of what they
// walk. A scribbled word costs a wake too many.
#pragma once

#include <cstdint>
#include <vector>

#include "control/fabric_map.h"

namespace ripstop::control {

// Thread: one. It remembers what it saw.
class Sleepers {
 public:
  // Lifetime: `map` outlives it.
  explicit Sleepers(const FabricMap& map) : map_(map), seen_(map.agent_capacity()), rung_(map.superblock().ring_capacity) {}

  // Rings everybody who sleeps on a message that he has not seen, or at a channel where there is a message, or
  // room, for him. Returns how many.
  // Not bounded by time but by what there is: a line for each living agent, some more for each sleeper.
  uint32_t ring();

  // Whether any living agent is between naming a message in its intent, or beginning to use a channel's slot, and
  // having rung for it.
  bool is_anyone_sending() const noexcept;

  // Moves with every push. Two equal answers: nothing was pushed, but for pushes whose sender is still
  // on its way to say so (is_anyone_sending).
  uint64_t push_count() const noexcept;

 private:
  struct Seen {
    uint64_t agent_word = 0;   // Of the agent this is about.
    uint32_t sleep = 0;        // The doorbell's word of the last sleep that was looked at, without `rung`.
    uint64_t pushed = 0;       // What had been pushed then: a mark of its rings' tails.
    uint64_t known = 0;        // That mark for what its taker has seen.
    uint32_t rung_sleep = 0;   // The last sleep that we rang for.
    // This look's.
    bool asleep = false;
    bool has_mail = false;
    uint64_t tails = 0;
  };
  void look(Seen& seen, const ring::MpmcRing& ring, uint64_t incarnation, uint32_t ring_id, uint64_t head) const noexcept;
  void look_direct(Seen& seen, const layout::AgentBlock& block) const noexcept;
  bool ring_one(uint32_t agent_id, Seen& seen) noexcept;
  uint32_t ring_inboxes() noexcept;
  uint32_t ring_channels() noexcept;
  // Calls `visit(ring id, entry, channel)` for each channel in use.
  template <class Visit>
  void for_each_channel(Visit visit) const noexcept;
  uint32_t agent_high() const noexcept;
  uint32_t ring_high() const noexcept;
  bool is_live(uint32_t agent_id) const noexcept;

  const FabricMap& map_;
  // The last sleeps at a channel that we rang for.
  struct Rung {
    uint32_t receiver = 0;
    uint32_t sender = 0;
  };
  std::vector<Seen> seen_;  // By agent.
  std::vector<Rung> rung_;  // By ring.
};

}  // namespace ripstop::control
