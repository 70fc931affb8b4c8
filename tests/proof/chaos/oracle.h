// Holds what was sent against what was taken, by what the processes wrote down.
//
// Per publisher's incarnation and topic (a stream) and receiver's incarnation:
//   lost      a send returned with "no receiver was full" (N reached), the receiver had subscribed before
//             the send began and lives, and it took a later one of that stream and priority, or everything
//             was drained, and never this one. Or: fewer took it than were reached, and the dead among the
//             receivers cannot account for the rest. Or: the publisher died in the send, one receiver has
//             the message and another, who lives, has not.
//   doubled   taken twice by one incarnation.
//   order     taken after a later one of its stream and priority.
//   phantom   taken and never sent, taken by more than were reached, or refused though a receiver was there.
// A message to a receiver that died before it took it died with it: the supervisor is told to keep no dead
// letters and to wait for no successor (supervisor.cc), so the receivers' ledgers are all there is. What a drop-oldest ring gave up must be in its dropped_count().
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <map>
#include <tuple>
#include <vector>

#include "ledger.h"
#include "verdict.h"

namespace chaos {

struct Figures {
  uint64_t sent = 0;     // Sends that returned.
  uint64_t reached = 0;  // Deliveries they told of.
  uint64_t taken = 0;
  uint64_t running = 0;         // Sends that their publisher's death cut off,
  uint64_t running_taken = 0;   // and of these, that somebody took: committed.
  uint64_t running_halves = 0;  // Taken by one and not by another who lives.
  uint64_t died_with = 0;       // Deliveries to a receiver that died before it took them.
  uint64_t dropped = 0;         // Given up by drop-oldest rings.
};

class Oracle {
 public:
  explicit Oracle(Verdict& verdict) : verdict_(verdict) {}

  void born(uint32_t player, uint32_t incarnation);
  // All it wrote was read.
  void died(uint32_t player, uint64_t now_ns);
  // It was stopped until now.
  void continued(uint32_t player, uint64_t now_ns) { stopped_until_ns_[player] = now_ns; }
  // Entries of the living process of `player`; `complete`: or of a dead one, whose call was cut off.
  void read(uint32_t player, const Entry& entry, bool complete);
  // Follows each receiver as far as it got.
  void follow();
  // Everything that was sent and could be taken was taken: every fate is known, and forgotten.
  void settle();
  const Figures& figures() const { return figures_; }

 private:
  struct Row {
    uint64_t begin_ns = 0;
    uint64_t end_ns = 0;
    uint32_t reached = 0;
    uint16_t full = 0;
    uint8_t priority = 0;
    uint8_t outcome = 0;
    uint8_t takers = 0;
    enum : uint8_t { Unknown, Running, Done } state = Unknown;
  };
  struct Stream {
    uint32_t player;
    uint32_t incarnation;
    uint8_t topic;
    uint32_t base = 0;  // Numbers up to here were settled before.
    std::vector<Row> rows;
    bool ended = false;
    uint64_t ended_ns = 0;
    uint64_t full_since_ns = 0;
  };
  struct Pair {
    std::vector<bool> taken;
    std::array<uint32_t, 5> cursor{};  // Rows below are answered, by priority.
    std::array<uint32_t, 5> last{};    // The last number taken.
    bool told_blocked = false;
  };
  struct Ear {
    uint64_t begin_ns = 0;  // 0: not asked for.
    uint64_t end_ns = 0;    // 0: not returned.
    uint64_t missing = 0;   // Of a lossy one.
  };
  struct Receiver {
    uint32_t player;
    uint32_t incarnation;
    std::array<Ear, kTopicCount> ears;
    std::map<Stream*, Pair> pairs;
    bool ended = false;
    // Its successor had attached, so its death was settled: until then others may reach it. 0: not yet.
    uint64_t settled_ns = 0;
    uint64_t last_empty_ns = 0;
  };

  // A refusal that was one only if the receiver shows later that it lived on.
  struct Suspicion {
    uint32_t receiver;
    uint32_t receiver_incarnation;
    uint32_t player;
    uint32_t incarnation;
    uint8_t topic;
    uint32_t number;
    uint8_t outcome;
    uint64_t end_ns;
  };

  Stream* stream(uint32_t player, uint32_t incarnation, uint8_t topic);
  void sent(Stream& stream, const Entry& entry);
  void suspect_refusal(const Stream& stream, const Row& row, uint32_t number);
  void follow_suspicions();
  void check_full(Stream& stream, const Row& row);
  void took(Receiver& receiver, const Entry& entry);
  void follow(Receiver& receiver, Stream& stream, Pair& pair);
  void settle(Stream& stream);
  bool due(const Receiver& receiver, const Stream& stream, const Row& row) const;
  Receiver& living(uint32_t player) { return *living_[player]; }

  Verdict& verdict_;
  Figures figures_;
  std::map<std::tuple<uint32_t, uint32_t, uint8_t>, Stream> streams_;
  std::list<Receiver> receivers_;
  std::vector<Suspicion> suspicions_;
  std::array<Receiver*, kPlayerCount> living_{};
  std::array<uint32_t, kPlayerCount> incarnation_{};
  std::array<uint64_t, kPlayerCount> stopped_until_ns_{};
};

}  // namespace chaos
