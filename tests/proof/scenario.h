// What is swept: an operation, begun in a state, by an agent that is killed in it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "proof/world.h"

namespace ripstop::proof {

struct Scenario {
  std::string operation;
  std::string state;
  Shape shape;
  // Makes the state. The first member is the victim, the second one a publisher that survives, the
  // others receive.
  std::function<void(World&)> prepare;
  // What the victim does.
  std::function<void(Member& victim)> operate;
  uint32_t send_count = 0;     // Messages that it sends, 0 or 1.
  uint32_t release_count = 0;  // Messages that it releases of those it has.
  bool quick_receivers = false;  // They take and release what they find before recovery runs.

  std::string name() const { return operation + ", " + state; }
};

std::vector<Scenario> scenarios();

}  // namespace ripstop::proof
