// Who takes part in the soak, and who says what to whom.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "ripstop/types.h"

namespace chaos {

inline constexpr std::size_t kPlayerCount = 12;

enum Topic : uint8_t { kPing, kPong, kStream, kFanOut, kFanIn, kLarge, kHotFan, kMixed, kTopicCount };
const char* topic_name(uint8_t topic);

// How a player publishes on a topic.
struct Says {
  uint8_t topic;
  uint32_t burst_max;        // Messages without a pause between them.
  uint32_t pause_us;         // Mean pause between bursts.
  uint32_t payload_bytes;    // The largest.
  uint8_t priority_count;    // 1: Normal; 3: Critical, Normal and Background in turn.
  int answers = -1;          // Publishes when it took a message of this topic, and after a pause.
  bool chained = false;      // A Cap'n Proto message of several chunks.
};

struct Hears {
  uint8_t topic;
  ripstop::Overflow overflow = ripstop::Overflow::Block;
  bool own_ring = false;
  uint32_t slot_count = 0;
};

struct Player {
  const char* name;
  bool publisher;  // What a kill of it counts as; most do both.
  ripstop::Wait wait;
  std::span<const Says> says;
  std::span<const Hears> hears;
};

const std::array<Player, kPlayerCount>& cast();

// Rings of their own and subscriptions of the whole cast: what an inspector must count.
uint32_t ring_count();
uint32_t subscription_count();
bool hears(std::size_t player, uint8_t topic);
bool says(std::size_t player, uint8_t topic);
const Hears* hearing(std::size_t player, uint8_t topic);

inline bool lossy(const Hears& hears) { return hears.overflow == ripstop::Overflow::DropOldest; }

}  // namespace chaos
