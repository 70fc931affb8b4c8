// All runs of a scene within bounds, one after the other.
//
// How it works: a run is repeated up to its last choice that has an alternative, and goes on with that. A
// state that was seen before, with the same choices left, is not gone on from: what follows is known. A
// state is the shared memory, what every actor has read so far (its private memory is a function of that)
// and the ledger. Stateless otherwise: nothing but the list of choices is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "proof/explorer/machine.h"

namespace ripstop::explorer {

// A set of 64-bit keys, in ordinary memory.
class Seen {
 public:
  Seen() = default;
  Seen(const Seen&) = delete;
  Seen& operator=(const Seen&) = delete;
  ~Seen();
  // False when it was there.
  bool insert(uint64_t key);
  void clear();
  std::size_t size() const { return count_; }

 private:
  void grow();
  uint64_t* keys_ = nullptr;
  std::size_t mask_ = 0;
  std::size_t count_ = 0;
};

struct Explored {
  Finding finding;
  std::string schedule;  // That shows it.
  uint64_t run_count = 0;    // Schedules.
  uint64_t state_count = 0;
  uint64_t kill_count = 0;   // Places of schedules at which somebody was killed.
  uint64_t end_count = 0;    // Judged.
  bool is_complete = false;
};

class Search : public Chooser {
 public:
  // All runs. `scene` was prepared. `seconds_max`: gives up then, incomplete; 0: never.
  Explored explore(const Bounds& bounds, double seconds_max);
  // One, as a schedule says.
  static Explored replay(const std::string& schedule, const Bounds& bounds);

  int choose(std::span<const Option> options, const Place& place, uint64_t state) override;
  bool repeats() const override { return depth_ < prefix_; }

 private:
  struct Choice {
    Option options[kOptionsMax];
    uint32_t count;
    uint32_t chosen;
    Place place;
  };
  enum class Round : uint8_t { Over, Learned };
  Round go(const Bounds& bounds, double start, double seconds_max, bool stops);
  bool advance();
  void restart();
  std::string schedule() const;

  std::vector<Choice> choices_;
  std::size_t depth_ = 0;
  std::size_t prefix_ = 0;
  Seen seen_;
  Explored explored_;
};

double now_seconds();

}  // namespace ripstop::explorer
