#include "agent/pattern_owners.h"

#include <algorithm>
#include <new>

#include "agent/subscriber_core.h"
#include "control/topic_grammar.h"

namespace ripstop::detail {

void PatternOwners::add(SubscriberCore& subscriber) { subscribers_.push_back(&subscriber); }

void PatternOwners::remove(SubscriberCore& subscriber) {
  std::erase(subscribers_, &subscriber);
  owners_.clear();
}

void PatternOwners::get_back(const std::string& topic) noexcept {
  for (SubscriberCore* subscriber : subscribers_) {
    if (control::pattern_matches(subscriber->topic, topic)) subscriber->sequences.forget();
  }
}

SubscriberCore* PatternOwners::look(uint32_t topic_id) noexcept {
  const std::string_view topic = view_.topic_name(topic_id);
  if (topic.empty()) return nullptr;  // A header's word, and there is no such topic.
  const auto owner = std::find_if(subscribers_.begin(), subscribers_.end(), [&](const SubscriberCore* subscriber) {
    return control::pattern_matches(subscriber->topic, topic);
  });
  if (owner == subscribers_.end()) return nullptr;
  try {
    if (topic_id >= owners_.size()) owners_.resize(topic_id + 1, nullptr);
    owners_[topic_id] = *owner;
  } catch (const std::bad_alloc&) {
    // It is looked for again at the next message.
  }
  return *owner;
}

}  // namespace ripstop::detail
