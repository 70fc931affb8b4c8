// A player's publisher on one topic, and what a message says when it is heard.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cast.h"
#include "ledger.h"
#include "parcel.capnp.h"
#include "payload.h"
#include "ripstop/ripstop.h"

namespace chaos {

class Mouth {
 public:
  static ripstop::Result<Mouth> open(ripstop::Agent& agent, const Says& says, uint32_t player, uint32_t incarnation);

  // A burst: single sends, batches, copies, and loans that are dropped. An empty pool ends it early.
  ripstop::Result<void> speak(Writer& writer, Dice& dice);
  // Gives back what the typed front keeps ready.
  void be_silent() { typed_.reset(); }
  const Says& says() const { return says_; }

  uint64_t next_ns = 0;  // When it speaks again by itself.
  bool asked = false;    // Or now: what it answers to was taken.
  std::string trouble;   // An outcome that must not be.

 private:
  Mouth(ripstop::Agent& agent, const Says& says, ripstop::Publisher<ripstop::Bytes> publisher, uint32_t player,
        uint32_t incarnation)
      : agent_(&agent), says_(says), publisher_(std::move(publisher)), player_(player), incarnation_(incarnation) {}

  ripstop::Result<void> say_one(Writer& writer, Dice& dice, const ripstop::SendOptions& options);
  ripstop::Result<void> say_batch(Writer& writer, Dice& dice, const ripstop::SendOptions& options);
  ripstop::Result<void> say_chained(Writer& writer, Dice& dice, const ripstop::SendOptions& options);
  Label label(ripstop::Priority priority, uint32_t ahead = 1) const;
  Entry& announce(Writer& writer, ripstop::Priority priority);
  void note(Entry& entry, const ripstop::Sent& sent);
  std::size_t any_size(Dice& dice) const;

  ripstop::Agent* agent_;
  Says says_;
  ripstop::Publisher<ripstop::Bytes> publisher_;
  std::optional<ripstop::Publisher<Parcel>> typed_;
  uint32_t player_;
  uint32_t incarnation_;
  uint32_t number_ = 0;
};

struct Heard {
  Label label{};
  bool torn = false;
};
// Reads all of it. A label that cannot be read is torn and names no player.
Heard listen(ripstop::Message<ripstop::Bytes>& message);

}  // namespace chaos
