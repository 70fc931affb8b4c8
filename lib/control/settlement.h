// Giving back what a dead agent held, and getting its place ready for the next one.
//
// Nothing here is remembered: every step looks at the words that committed and does what is missing,
// so it can be killed anywhere and run again from the start. It trusts no byte of a node segment:
// numbers are bounded, loops end with the capacity of what they walk.
//
// Order (architecture.md §3): the caller has marked the entry DEAD and taken the agent out of all
// routes; then settle() closes its rings, finishes or undoes its sends, takes what lies in its inbox and
// its hands to the dead letters (dead_letters.h) or releases it, frees its slabs and wakes whom it may have
// owed a wake.
#pragma once

#include <cstdint>
#include <span>

#include "control/dead_letters.h"
#include "control/delivery.h"
#include "control/fabric_map.h"

namespace ripstop::control {

struct DirectEntry;

// What settle() found, for the counters in the superblock.
struct Settled {
  uint64_t message_count = 0;    // Undelivered or unfinished messages of the agent: kept, or released.
  uint64_t chunk_count = 0;      // Chunks that came back: loans, links, half-closed messages.
  uint64_t completed_count = 0;  // Deliveries of a committed send that were missing and were pushed.
  uint64_t full_count = 0;       // Such deliveries that could not be: kept, or released; and the oldest messages
                                 // of full rings that the dead had begun to drop.
  uint64_t corrupt_count = 0;    // Words that were out of bounds.
};

class Settlement {
 public:
  // What an agent leaves is for whom, and since when.
  using Estate = DeadLetters::Address;

  // Lifetime: both outlive it. Without `letters` what the dead had not handled is released.
  explicit Settlement(const FabricMap& map, DeadLetters* letters = nullptr) noexcept : map_(map), letters_(letters) {}

  // Settles an agent whose process is dead, or which detached. `own_rings` are the queue rings it owned;
  // `estate` says for whom what it had not handled is kept.
  Settled settle(uint32_t agent_id, uint64_t incarnation, std::span<const uint32_t> own_rings, const Estate& estate = {}) noexcept;

  // Gets a block ready for a new agent: lanes EMPTY with the new incarnation, table and counters zero.
  void open_inbox(uint32_t agent_id, uint64_t incarnation) noexcept;
  // The same for a ring of its own. False when the directory's entry makes no sense.
  bool open_queue(uint32_t ring_id, uint64_t incarnation) noexcept;
  // Gives back what was loaned and never committed in the slabs of the agent, and the slabs.
  void settle_slabs(uint32_t agent_id, uint64_t incarnation, Settled& settled) noexcept;
  // Closes a ring of a subscription that ended, and releases what lies in it.
  Settled close_queue(uint32_t ring_id, uint32_t owner) noexcept;

 private:
  // Gives a delivery of the dead up: it is kept for `estate` or released. Null: released.
  void give_up(const Delivery& delivery, const Estate* estate, Settled& settled) noexcept;
  // `estate` with the place of one of the rings of the dead.
  static Estate at_place(const Estate& estate, uint8_t place) noexcept;
  // `living_owner`: what it has taken goes to its held table instead of being released.
  void close_ring(ring::MpmcRing ring, uint32_t living_owner, const Estate* estate, Settled& settled) noexcept;
  void keep_for(uint32_t owner, ring::MpmcRing ring, uint64_t position, const ring::SlotView& slot) noexcept;
  // Of the dead: what lies there is given up, and its slots say CLOSED.
  void drain_ring(ring::MpmcRing ring, const Estate& estate, Settled& settled) noexcept;
  void drain_slot(ring::MpmcRing ring, uint64_t index, const Estate& estate, Settled& settled) noexcept;
  void drain_held(uint32_t agent_id, layout::AgentBlock& block, std::span<const uint32_t> own_rings, const Estate& estate,
                  Settled& settled) noexcept;
  void reopen_ring(ring::MpmcRing ring, uint64_t incarnation) noexcept;
  void settle_sends(layout::AgentBlock& block, Settled& settled) noexcept;
  void settle_send(layout::AgentBlock& block, const layout::SenderIntent& intent, Settled& settled) noexcept;
  void settle_delivery(const layout::ChunkHeader& root, layout::Reference reference, uint32_t bit, uint32_t receiver,
                       Settled& settled) noexcept;
  Estate addressee(uint32_t receiver, Arrival arrival) const noexcept;
  void settle_names(layout::ChunkHeader& root, layout::ChunkHeader& holder, layout::Reference reference,
                    std::span<const uint32_t> names, Settled& settled) noexcept;
  // Direct lanes that end at the agent: what it had not released goes. Those of which it was the
  // publisher: their receivers drain them, and the rows learn what was committed.
  void settle_direct(uint32_t agent_id, uint64_t incarnation, layout::AgentBlock& block, const Estate& estate,
                     Settled& settled) noexcept;
  void give_up_direct(const DirectEntry& entry, const Estate& estate, Settled& settled) noexcept;
  // Direct bits in the dead publisher's slabs that no entry claims: their members died, and were settled
  // before the commit.
  void release_unclaimed(uint32_t agent_id, uint64_t incarnation, const layout::AgentBlock& block, Settled& settled) noexcept;
  void note_direct_send(layout::AgentBlock& block, const layout::SenderIntent& intent) noexcept;
  void end_direct(uint32_t agent_id, uint64_t incarnation, layout::AgentBlock& block, Settled& settled) noexcept;
  bool has_direct_mail(const layout::AgentBlock& block) const noexcept;
  // What it was late with went on without it.
  void settle_late(layout::AgentBlock& block, Settled& settled) noexcept;
  void finish_evictions(Settled& settled) noexcept;
  void finish_closing(Settled& settled) noexcept;
  void wake_sleepers() noexcept;
  // Whether the message that a link names as `root`, itself or through branches, was committed and lives.
  bool is_committed(layout::Reference root) const noexcept;

  const FabricMap& map_;
  DeadLetters* letters_;
};

}  // namespace ripstop::control
