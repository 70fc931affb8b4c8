// Who sleeps on what while the victim acts (K5).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "proof/scenario.h"

namespace ripstop::proof {

// One who is asleep in the kernel: it armed, looked, and sleeps while the word is what it was then.
struct Asleep {
  std::string name;
  std::atomic<uint32_t>* word;
  uint32_t armed;
  std::function<bool()> has_news;  // Now there is what it waits for.
};

struct WakeScenario {
  std::string name;
  Shape shape;
  std::function<void(World&)> prepare;
  std::function<std::vector<Asleep>(World&)> sleepers;
  std::function<void(Member& victim)> operate;
  // The supervisor's tick looks after them when the victim is stopped. Else they look again by themselves
  // (room in a ring, after 50 ms): then it is only killed.
  bool is_ticked;
};

std::vector<WakeScenario> wake_scenarios();

}  // namespace ripstop::proof
