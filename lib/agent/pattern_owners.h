// Which subscription of an inbox gets a message of a topic that none of them names exactly.
//
// An inbox gets each message once. It goes to the subscription of its very topic; without one, to the
// oldest of those to a pattern that names the topic.
// Thread: the agent's receiving thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/control_view.h"

namespace ripstop::detail {

class SubscriberCore;

class PatternOwners {
 public:
  // Lifetime: `view` outlives it, and a subscriber its time from add() to remove().
  explicit PatternOwners(const control::ControlView& view) noexcept : view_(view) {}

  void add(SubscriberCore& subscriber);
  void remove(SubscriberCore& subscriber);
  // No subscription names that topic exactly any more. What it got meanwhile is no loss of ours.
  void get_back(const std::string& topic) noexcept;

  // Null: nobody.
  SubscriberCore* find(uint32_t topic_id) noexcept {
    if (topic_id < owners_.size() && owners_[topic_id] != nullptr) return owners_[topic_id];
    return subscribers_.empty() ? nullptr : look(topic_id);
  }

 private:
  SubscriberCore* look(uint32_t topic_id) noexcept;

  const control::ControlView& view_;
  std::vector<SubscriberCore*> subscribers_;  // The oldest first.
  std::vector<SubscriberCore*> owners_;       // By topic; null: not looked for yet.
};

}  // namespace ripstop::detail
