// What is swept: an operation, begun in a state, by an agent that is killed in it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "proof/aftermath.h"
#include "proof/world.h"

namespace ripstop::proof {

// Where a subscription stands: as before the operation, with its oldest message evicted, or with the
// operation's message. Either: it makes no difference there, because the message does not fit.
enum class Stage : uint8_t { Before, Evicted, After, Either };

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
  // What there is to look at beside subscriptions, after recovery; `message` is the number that the victim
  // gave. It must go from Before to After once.
  std::function<Finding(World&, uint64_t message, Stage& stage)> look;
  // What the supervisor does besides, while the victim is stopped.
  std::function<void(World&)> meanwhile;
  // How often a message of the victim's may have been delivered before its successor has it.
  uint32_t attempts_max = 1;
  // Messages in its hands that are dead letters since before its death.
  uint32_t gone_count = 0;
  // What the supervisor does for the victim: then it is the supervisor that is killed, and another one takes
  // over and is asked again.
  std::function<void(World&)> request;

  std::string name() const { return operation + ", " + state; }
};

std::vector<Scenario> scenarios();

}  // namespace ripstop::proof
