// One delivery of a message, and whether it has arrived: what recovery asks before it pushes.
//
// A message moves from its ring to the held table and then its bit goes; so the look goes the same way,
// ring, held table, then the bit again: what is in none of the first two and still has its bit was never
// pushed. A receiver that takes and releases between our looks has cleared the bit by the last.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "control/fabric_map.h"

namespace ripstop::control {

// (chunk, generation, bit): two sightings of the same are one.
struct Delivery {
  layout::Reference reference;  // The message, or a branch of it.
  uint32_t bit;
  uint32_t attempt = 0;

  friend bool operator==(const Delivery& a, const Delivery& b) noexcept { return a.reference == b.reference && a.bit == b.bit; }
};

// Whether its bit is there.
bool is_open(const FabricMap& map, const Delivery& delivery) noexcept;

// The chunk in which its message begins, itself or the root of the branch; null, or 0, when there is none.
layout::ChunkHeader* find_message(const FabricMap& map, layout::Reference reference) noexcept;
layout::Reference root_reference(const FabricMap& map, layout::Reference reference) noexcept;

// Whom the message's publisher named for a delivery: a receiver word, 0 when it named nobody so.
uint32_t receiver_of(const FabricMap& map, const Delivery& delivery) noexcept;

// A ring that a receiver word names.
struct Place {
  ring::MpmcRing ring;
  uint64_t incarnation;
  layout::AgentBlock& taker;
  bool drops_oldest;
};
// The ring called `name`, a lane if it is an inbox; nothing when it is no more.
std::optional<Place> find_place(const FabricMap& map, uint32_t name, std::size_t lane) noexcept;

// Whether a delivery to the ring called `name` would find room now.
bool has_room(const FabricMap& map, uint32_t name, std::size_t lane) noexcept;

enum class [[nodiscard]] Arrival : uint8_t {
  There,   // It had arrived: it lies there, or it was handled.
  Pushed,  // It was missing.
  Full,    // Missing, and there is no room.
  NoPlace, // Missing, and the ring is no more.
};
// Makes sure that a delivery to the ring called `name` is made, once. Never waits; the oldest message makes
// room where that is the ring's policy.
Arrival complete(const FabricMap& map, uint32_t name, std::size_t lane, const Delivery& delivery) noexcept;

}  // namespace ripstop::control
