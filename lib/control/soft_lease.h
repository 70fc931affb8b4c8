// The soft lease: a message that an agent has had in hand for too long goes on without it, in a copy. The
// agent keeps what it reads, and is told when it gives it back (ReleaseOutcome::Revoked).
//
// Memory that a living process may still read or write is never given to another: so the message is copied
// into a fresh chunk, and the agent's bit of the old one is exchanged for a late bit, which stays until the
// agent gives it back or ends. That swap commits. Order:
//   1. a chunk of a slab of the supervisor's, {g,P}, filled with the copy;
//   2. a letter for the copy (dead_letters.h), which counts as empty until 6;
//   3. an entry in the agent's block that names all of it (layout::LateWord), open;
//   4. one swap of the old holders: the delivery's bit for the late bit. The commit;
//   5. - from here on the copy is owed -
//   6. the copy is committed: one store; the letter counts;
//   7. the entry is not open any more;
//   8. the push, where the letter is under way to a ring.
// A kill before 4 leaves the message where it was, and a copy that is given back; after it the next supervisor
// finds the open entry and does the rest. Whether 4 was done it sees by the late bit, or by `returned`, which
// the agent writes before it gives an open one's late bit back: else it would not be told from an agent that
// gave its message back in time.
//
// It trusts no byte of a node segment: numbers are bounded, loops end with the capacity of what they walk.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "control/dead_letters.h"
#include "control/fabric_map.h"
#include "control/in_hand.h"
#include "control/settlement.h"
#include "memory/slab_heap.h"

namespace ripstop::control {

struct SoftLeasePolicy {
  uint64_t lease_ns = 0;       // 0: nothing is ever revoked.
  uint32_t requeue_count = 0;  // With so many attempts before it a message goes to the dead letters, not back.
};

// What was revoked, for the log.
struct Revoked {
  uint32_t agent_id;
  uint32_t topic_id;
  uint64_t sequence;
  bool is_requeued;  // Else it is a dead letter.
};

// Thread: one. It remembers what it saw.
class SoftLease {
 public:
  // Where a message that goes on could come again: the ring it came through, if its agent subscribes there
  // still. Asked with agent, topic and receiver word.
  using FindDestination = std::function<std::optional<DeadLetters::Destination>(uint32_t, uint32_t, uint32_t)>;

  // Lifetime: all outlive it.
  SoftLease(const FabricMap& map, layout::Superblock& super, DeadLetters& letters, Settlement& settlement)
      : map_(map), super_(super), letters_(letters), settlement_(settlement), seen_(map.agent_capacity()) {}
  SoftLease(const SoftLease&) = delete;
  SoftLease& operator=(const SoftLease&) = delete;

  // After a kill: what was begun is finished or undone.
  void finish();

  // One look. What has been in hand in all looks of the last `policy.lease_ns` goes on: to its agent again, or
  // to the dead letters. What has nowhere to go, or finds no chunk, stays in hand until a later look.
  // `now_ns`: any clock, the same one each time.
  std::vector<Revoked> look(uint64_t now_ns, const SoftLeasePolicy& policy, const FindDestination& find_destination);

 private:
  struct Seen {
    layout::Reference reference;
    uint32_t bit;
    uint64_t since_ns;
  };
  bool revoke(const InHand& in_hand, const SoftLeasePolicy& policy, const FindDestination& find_destination,
              memory::SlabHeap& heap, Revoked& revoked);
  std::optional<uint32_t> unused_late_bit(layout::Reference reference) const;
  // By swap: the bit for the late bit. False: the agent was faster.
  bool exchange(const Delivery& delivery, uint32_t late_bit) noexcept;
  // The copy is owed: 6 to 8.
  void send_on(layout::ChunkHeader& copy, uint32_t letter, base::AtomicPair& entry);
  void finish_entry(base::AtomicPair& place);
  void remove_settled() noexcept;

  const FabricMap& map_;
  layout::Superblock& super_;
  DeadLetters& letters_;
  Settlement& settlement_;
  std::vector<std::vector<Seen>> seen_;  // By agent.
};

}  // namespace ripstop::control
