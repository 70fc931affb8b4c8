// What a message of the soak holds: who sent it as what, and bytes that follow from that alone, so that
// whoever takes it sees a torn one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace chaos {

struct Label {
  uint32_t magic;
  uint32_t bytes;  // Of the payload, this included.
  uint32_t player;
  uint32_t incarnation;
  uint32_t number;  // From 1, of this incarnation on this topic.
  uint8_t topic;
  uint8_t priority;
  uint8_t piece;
  uint8_t piece_count;
  uint64_t check;  // Over the words above.
};
static_assert(sizeof(Label) == 32);

// Makes `label` whole and writes it and what follows from it.
void fill(std::span<std::byte> payload, Label label);

// Reads it back: false and unchanged when the label is torn; `torn` when the bytes behind it are.
bool read(std::span<const std::byte> payload, Label& label, bool& torn);

// A 64-bit number's bits, well mixed: for decisions that follow from a seed.
uint64_t mix(uint64_t value);

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(mix(seed)) {}
  uint64_t next() { return mix(state_ += 0x9e3779b97f4a7c15u); }
  uint64_t below(uint64_t bound) { return bound == 0 ? 0 : next() % bound; }
  bool chance(uint32_t percent) { return below(100) < percent; }

 private:
  uint64_t state_;
};

}  // namespace chaos
