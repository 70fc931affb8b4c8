#include "payload.h"

#include <cstring>

namespace chaos {

namespace {

constexpr uint32_t kMagic = 0x43314331;

uint64_t check_of(const Label& label) {
  uint64_t words[3];
  std::memcpy(words, &label, sizeof words);
  return mix(mix(mix(words[0]) ^ words[1]) ^ words[2]);
}

// The word that follows `seed` in a payload.
uint64_t step(uint64_t seed) {
  return seed * 0x5851f42d4c957f2du + 0x14057b7ef767814fu;
}

}  // namespace

uint64_t mix(uint64_t value) {
  value ^= value >> 30;
  value *= 0xbf58476d1ce4e5b9u;
  value ^= value >> 27;
  value *= 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

void fill(std::span<std::byte> payload, Label label) {
  label.magic = kMagic;
  label.bytes = static_cast<uint32_t>(payload.size());
  label.check = check_of(label);
  std::memcpy(payload.data(), &label, sizeof label);
  uint64_t word = label.check;
  for (std::size_t at = sizeof label; at < payload.size(); at += sizeof word) {
    word = step(word);
    std::memcpy(payload.data() + at, &word, payload.size() - at < sizeof word ? payload.size() - at : sizeof word);
  }
}

bool read(std::span<const std::byte> payload, Label& label, bool& torn) {
  Label seen;
  if (payload.size() < sizeof seen) return false;
  std::memcpy(&seen, payload.data(), sizeof seen);
  if (seen.magic != kMagic || seen.check != check_of(seen)) return false;
  label = seen;
  torn = seen.bytes != payload.size();
  uint64_t word = seen.check;
  for (std::size_t at = sizeof seen; at < payload.size(); at += sizeof word) {
    word = step(word);
    const std::size_t count = payload.size() - at < sizeof word ? payload.size() - at : sizeof word;
    if (std::memcmp(payload.data() + at, &word, count) != 0) torn = true;
  }
  return true;
}

}  // namespace chaos
