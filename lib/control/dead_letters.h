// What nobody handled: dead letters, and what the successor of a dead agent is to get.
//
// An entry of the table (layout::LetterEntry) holds its message by the delivery's own bit, so nothing is
// copied. It is made valid by one store of its word; only then the place where the delivery lay is given up:
// in between both show it, and (chunk, generation, bit) says that they are one. An entry whose bit is gone,
// or whose chunk has begun another life, counts as empty.
//
//   Waiting  for a successor: an agent of the same name that subscribes to the topic in time.
//   Dead     a dead letter: until somebody drops or replays it, or a newer one needs its place.
//   Handed   under way again. It lies in the ring that `destination` names or in its taker's held table, or
//            is still to be pushed there; whatever else bears the same delivery is a stale sighting.
//
// The supervisor is the only writer. What it keeps beside the table is in the table too, the other way
// round: a supervisor that takes over finds it all. Nothing here waits.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/delivery.h"
#include "layout/control_segment.h"

namespace ripstop::control {

struct LetterPolicy {
  bool keeps = false;          // What has no successor becomes a dead letter; false: it is released and counted.
  uint64_t grace_ns = 0;       // How long a successor has to come.
  uint32_t share_percent = 25; // Of a class's chunks, at most, may lie here.
};

class DeadLetters {
 public:
  // Whom a delivery was for, and why it comes here.
  struct Address {
    std::string_view name;
    layout::LetterReason reason = layout::LetterReason::Died;
    uint64_t until_ns = 0;  // It waits for a successor until then (CLOCK_MONOTONIC); 0: there is none to wait for.
    uint8_t place = layout::kLetterInbox;
  };
  // A ring that gets a delivery anew.
  struct Destination {
    uint32_t receiver;           // Receiver word.
    uint64_t owner_incarnation;  // The agent's.
    std::string_view name;
    uint8_t place;
  };

  // Lifetime: all arguments outlive it. `table` may be empty: then nothing is kept.
  DeadLetters(const FabricMap& map, layout::Superblock& super, std::span<layout::LetterEntry> table, const LetterPolicy& policy);
  DeadLetters(const DeadLetters&) = delete;
  DeadLetters& operator=(const DeadLetters&) = delete;

  const LetterPolicy& policy() const noexcept { return policy_; }

  // Takes a delivery over, so that its place can be given up; the oldest letter makes room. One that cannot
  // be kept is released and counted. False: it was handled, or lies here already.
  bool take(const Delivery& delivery, const Address& address);
  // The same for one in a direct lane, whose publisher will clear the member's bit when it finds the member
  // gone: the swap that drops that bit sets one that no lane uses.
  bool take_from_lane(const Delivery& delivery, const Address& address);
  // Whether the delivery is one of these, in whatever state: then no other sighting of it counts.
  bool has(const Delivery& delivery) const { return by_delivery_.contains({delivery.reference, delivery.bit}); }

  // What was handed to an agent that has ended since comes back, as far as it was not handled. Returns how many.
  uint64_t take_back(uint32_t agent_id, uint64_t incarnation, const Address& address);

  // An agent called `name` attached: what waits for it waits until `until_ns`, while it subscribes.
  void wait_for(std::string_view name, uint64_t until_ns);
  // Hands what waits for `to.name`, this topic and this place to the ring, in each publisher's order. Before the
  // ring has a route, what is published then lies behind.
  void hand_over(uint32_t topic_id, const Destination& to);
  // The topics of what waits for an agent of that name, each once.
  std::vector<uint32_t> awaited_topics(std::string_view name) const;
  // Whom something waits for, each once.
  std::vector<std::string> awaited() const;
  // Gives up waiting where the time is over.
  void expire(uint64_t now_ns);
  // When to call that, 0: nothing waits.
  uint64_t next_expiry_ns() const;
  // After a kill: makes the pushes that are missing of what was handed.
  void finish();

  // --- of a message that goes on in a copy (soft_lease.h) ------------------------------------------
  // An entry for the copy's delivery, which counts when the copy is committed: under way to `to` or, without,
  // a dead letter. Nothing: there is no room.
  std::optional<uint32_t> announce(const Delivery& copy, const Address& address, const Destination* to);
  // The copy is committed: makes its push, if it is under way.
  void send_on(uint32_t index);
  // It never will be.
  void withdraw(uint32_t index) { free(index); }
  std::optional<uint32_t> find(const Delivery& delivery) const;
  // All that were announced, and whose copy is still its maker's alone.
  std::vector<uint32_t> announced() const;
  // The ring that a delivery was handed to, as a receiver word; 0: it was not.
  uint32_t handed_to(const Delivery& delivery) const;

  // --- by hand; `serial`: the letter's, or 0 for all. Each returns how many. ---------------------------
  uint32_t drop(uint64_t serial);
  // To all of `receivers(topic_id)`, with one attempt more; at once or, if a kill comes, not at all. A letter
  // whose topic has no receiver, or whose message has no bit left for them, stays.
  template <class Receivers>
  uint32_t replay(uint64_t serial, Receivers receivers) {
    uint32_t count = 0;
    for (const uint32_t index : dead(serial)) count += replay_to(index, receivers(table_[index].topic_id)) ? 1 : 0;
    return count;
  }

 private:
  using Key = std::pair<layout::Reference, uint32_t>;

  layout::LetterState state(uint32_t index) const noexcept;
  Delivery delivery(uint32_t index) const noexcept;
  // The class of each chunk that the message lies in: its segments, and the lists of its receivers.
  using Classes = std::vector<uint32_t>;
  Classes classes_of(layout::Reference reference) const;
  // The chunks of a letter that comes to lie here, or goes.
  void count_chunks(uint32_t index, int by) noexcept;
  bool lies_here(uint32_t index) const noexcept;  // Waiting or dead.
  bool is_announced(uint32_t index) const noexcept;
  // An entry for the delivery, filled but for its word. Nothing: there is no room, or it makes no sense.
  // `stays`: it counts for its class's share.
  std::optional<uint32_t> prepare(const Delivery& delivery, std::string_view name, uint8_t place, bool stays);
  void publish(uint32_t index, layout::LetterState state, layout::LetterReason reason, uint32_t attempt);
  void free(uint32_t index);
  void release(uint32_t index, layout::LetterEnd end);
  // What has no successor: a dead letter, or released.
  void settle(uint32_t index, layout::LetterReason reason);
  uint64_t share_of(uint32_t class_index) const noexcept;
  // For one that stays, with all its chunks; it is kept also where it exceeds the share alone. `classes` empty:
  // for one under way, which needs an entry only.
  bool make_room(const Classes& classes);
  bool release_oldest(std::optional<uint32_t> class_index, layout::LetterEnd end);
  void sweep();
  std::vector<uint32_t> in_publisher_order(std::vector<uint32_t> indices) const;
  std::vector<uint32_t> dead(uint64_t serial) const;  // In each publisher's order.
  bool replay_to(uint32_t index, std::span<const Destination> receivers);
  // Bits of the chunk that no delivery has, from `highest` down, as many as asked for; fewer when there are no more.
  std::vector<uint32_t> unused_bits(layout::Reference reference, uint64_t taken, uint32_t highest, std::size_t count) const;
  void push(uint32_t index);
  void count(layout::LetterEnd end, uint64_t by = 1) noexcept;

  const FabricMap& map_;
  layout::Superblock& super_;
  std::span<layout::LetterEntry> table_;
  LetterPolicy policy_;
  uint64_t last_serial_ = 0;
  std::vector<uint32_t> free_;
  std::map<Key, uint32_t> by_delivery_;
  std::map<uint64_t, uint32_t> by_age_;  // By serial: those that lie here.
  std::vector<Classes> classes_;         // By index, while an entry is used.
  std::vector<uint32_t> class_counts_;   // Chunks of those that lie here, by class.
  uint32_t handed_count_ = 0;
};

}  // namespace ripstop::control
