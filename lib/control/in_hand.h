// What agents have in their hands: taken and not given back, as far as their blocks say so.
//
// A message that is taken stays in its slot; the taker's mark (RingBack::taken_mark) says how far it has
// come. A slot that publishers may evict says TAKEN, the held table and a direct lane's mark say the rest.
// It trusts no byte of a node segment: numbers are bounded, loops end with the capacity of what they walk.
#pragma once

#include <cstdint>
#include <vector>

#include "control/delivery.h"
#include "control/fabric_map.h"

namespace ripstop::control {

struct InHand {
  uint32_t agent_id;
  Delivery delivery;
  uint32_t receiver;  // The ring it came through, as a receiver word; 0: not known.
};

// Of all agents that live, in the order of their numbers.
std::vector<InHand> list_in_hand(const FabricMap& map);

}  // namespace ripstop::control
