#include "scribbler/corruption.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <random>

#include "layout/words.h"

namespace ripstop::proof {

namespace {

using Random = std::mt19937_64;

uint64_t read(const Ground& ground, uint32_t offset) {
  uint64_t value = 0;
  std::memcpy(&value, ground.node().data() + offset, sizeof value);
  return value;
}

void write(Ground& ground, uint32_t offset, uint64_t value) { std::memcpy(ground.node().data() + offset, &value, sizeof value); }

// What a word is set to; some of it depends on what it was.
const std::array kHostile = {
    +[](uint64_t) -> uint64_t { return 0; },
    +[](uint64_t) -> uint64_t { return ~uint64_t{0}; },
    +[](uint64_t was) -> uint64_t { return was == 1 ? 2 : 1; },
    +[](uint64_t was) -> uint64_t { return was + 1; },
    +[](uint64_t was) -> uint64_t { return was - 1; },
    +[](uint64_t was) -> uint64_t { return ~was; },
    +[](uint64_t was) -> uint64_t { return was ^ (uint64_t{1} << 63); },
    +[](uint64_t) -> uint64_t { return layout::kClosing; },
    +[](uint64_t) -> uint64_t { return layout::kPublisherHold; },
    +[](uint64_t) -> uint64_t { return layout::kLinkHold; },
    +[](uint64_t) -> uint64_t { return layout::kDeliveryHolds; },
    +[](uint64_t was) -> uint64_t { return was << 32 | was >> 32; },                      // Its halves exchanged.
    +[](uint64_t was) -> uint64_t { return was | 0xffffffff; },                           // Each half all ones.
    +[](uint64_t was) -> uint64_t { return was | 0xffffffff00000000u; },
    +[](uint64_t was) -> uint64_t { return was + (uint64_t{1} << 28); },                  // A slot's next turn,
    +[](uint64_t was) -> uint64_t { return was - (uint64_t{1} << 28); },                  // the last one,
    +[](uint64_t was) -> uint64_t { return (was & ~uint64_t{3}) | ((was + 1) & 3); },     // another phase,
    +[](uint64_t was) -> uint64_t { return was ^ (uint64_t{63} << 22); },                 // another bit,
    +[](uint64_t was) -> uint64_t { return was | (uint64_t{0x3fff} << 2); },              // the owner that drops.
    +[](uint64_t was) -> uint64_t { return was ^ 7; },                                    // A reference's other chunk,
    +[](uint64_t) -> uint64_t { return layout::make_reference(layout::make_chunk_id(0, 0, 0), 1); },
    +[](uint64_t) -> uint64_t { return layout::make_reference(layout::make_chunk_id(15, 3, 3), 1); },  // of no node.
    +[](uint64_t) -> uint64_t { return layout::make_reference((1u << layout::kChunkBits) - 1, 1); },
    +[](uint64_t was) -> uint64_t { return was & 0xffffff; },
};

// A value of the node's own, or near one: what a stray pointer leaves is often plausible.
uint64_t plausible(const Ground& ground, Random& random) {
  const uint64_t other = ground.values()[random() % ground.values().size()];
  switch (random() % 6) {
    case 0: return random();
    case 1: return other ^ (uint64_t{1} << (random() % 64));
    case 2: return (other & 0xffffffff) | (ground.values()[random() % ground.values().size()] & ~uint64_t{0xffffffff});
    case 3: return layout::make_reference(layout::make_chunk_id(0, random() % 10, random() % 9), 1 + random() % 4);
    default: return other;
  }
}

uint32_t any_word(const Ground& ground, Random& random) { return ground.words()[random() % ground.words().size()]; }

// A few words anywhere.
void scatter(Ground& ground, Random& random) {
  const unsigned count = 2u << (random() % 6);
  for (unsigned i = 0; i < count; ++i) write(ground, any_word(ground, random), plausible(ground, random));
}

// Every n-th word.
void strew(Ground& ground, Random& random) {
  const unsigned density = 1u << (random() % 9);
  for (const uint32_t word : ground.words()) {
    if (random() % density == 0) write(ground, word, plausible(ground, random));
  }
}

// Words beside one another: an overrun.
void overrun(Ground& ground, Random& random) {
  const uint64_t first = random() % ground.words().size();
  const uint64_t last = std::min<uint64_t>(ground.words().size(), first + 1 + random() % 64);
  const bool same = random() % 2 == 0;
  const uint64_t value = plausible(ground, random);
  for (uint64_t i = first; i < last; ++i) write(ground, ground.words()[i], same ? value : plausible(ground, random));
}

// One structure becomes a copy of another of its kind, several times.
void exchange(Ground& ground, Random& random) {
  const unsigned count = 1u << (random() % 5);
  for (unsigned i = 0; i < count; ++i) {
    const auto& kind = ground.kinds()[random() % ground.kinds().size()];
    const Ground::Structure from = kind[random() % kind.size()];
    const Ground::Structure to = kind[random() % kind.size()];
    std::memmove(ground.node().data() + to.offset, ground.node().data() + from.offset, from.bytes);
  }
}

// Several words of one structure.
void mangle(Ground& ground, Random& random) {
  const auto& kind = ground.kinds()[random() % ground.kinds().size()];
  const Ground::Structure at = kind[random() % kind.size()];
  const unsigned count = 2 + random() % 4;
  for (unsigned i = 0; i < count; ++i) {
    const auto word = static_cast<uint32_t>(at.offset + random() % (at.bytes / 8) * 8);
    if (random() % 4 == 0) write(ground, word, kHostile[random() % kHostile.size()](read(ground, word)));
    else write(ground, word, plausible(ground, random));
  }
}

struct Way {
  const char* name;
  void (*apply)(Ground&, Random&);
};
constexpr Way kWays[] = {{"words anywhere", scatter}, {"words everywhere", strew}, {"an overrun", overrun},
                         {"structures exchanged", exchange}, {"one structure mangled", mangle}};

}  // namespace

uint64_t hostile_value_count() { return kHostile.size(); }

uint64_t single_count(const Ground& ground) { return ground.words().size() * kHostile.size(); }

void corrupt(Ground& ground, uint64_t index) {
  if (index < single_count(ground)) {
    const uint32_t word = ground.words()[index / kHostile.size()];
    write(ground, word, kHostile[index % kHostile.size()](read(ground, word)));
    return;
  }
  Random random(index);
  kWays[index % std::size(kWays)].apply(ground, random);
}

std::string describe(const Ground& ground, uint64_t index) {
  if (index >= single_count(ground)) return kWays[index % std::size(kWays)].name;
  return "the word at " + std::to_string(ground.words()[index / kHostile.size()]) + ", hostile value " +
         std::to_string(index % kHostile.size());
}

}  // namespace ripstop::proof
