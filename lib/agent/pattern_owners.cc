#include "agent/pattern_owners.h"

#include <algorithm>

#include "agent/subscriber_core.h"
#include "control/topic_grammar.h"

namespace ripstop::detail {

void PatternOwners::add(SubscriberCore& subscriber) { subscribers_.push_back(&subscriber); }

void PatternOwners::remove(SubscriberCore& subscriber) {
  std::erase(subscribers_, &subscriber);
  owners_.clear();
}

void PatternOwners::get_back(const std::string& topic) {
  for (SubscriberCore* subscriber : subscribers_) {
    if (control::pattern_matches(subscriber->topic, topic)) subscriber->sequences = SequenceWindow();
  }
}

SubscriberCore* PatternOwners::look(uint32_t topic_id) {
  const std::string_view topic = view_.topic_name(topic_id);
  if (topic.empty()) return nullptr;  // A header's word, and there is no such topic.
  const auto owner = std::find_if(subscribers_.begin(), subscribers_.end(), [&](const SubscriberCore* subscriber) {
    return control::pattern_matches(subscriber->topic, topic);
  });
  if (owner == subscribers_.end()) return nullptr;
  if (topic_id >= owners_.size()) owners_.resize(topic_id + 1, nullptr);
  return owners_[topic_id] = *owner;
}

}  // namespace ripstop::detail
