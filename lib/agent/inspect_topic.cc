#include <unordered_map>

#include "agent/inspect_core.h"
#include "control/topic_grammar.h"

namespace ripstop::detail {

namespace {

void add_subscriber(TopicView& topic, SubscriptionView row) {
  topic.dropped_count += row.dropped_count;
  topic.subscribers.push_back(std::move(row));
}

}  // namespace

std::vector<TopicView> view_topics(const InspectCore& core) {
  std::vector<TopicView> topics;
  std::unordered_map<uint32_t, std::size_t> place;  // By topic id.
  for (uint32_t id = 0; id < core.topic_count(); ++id) {
    std::optional<TopicFacts> facts = core.topic(id);
    if (!facts) continue;
    TopicView topic;
    topic.id = id;
    topic.name = std::move(facts->name);
    topic.route_version = facts->route >> 32;
    place[id] = topics.size();
    topics.push_back(std::move(topic));
  }

  for (uint32_t id = 1; id < core.agent_count(); ++id) {
    const std::optional<AgentFacts> agent = core.agent(id);
    if (!agent || agent->state != layout::AgentState::Live) continue;
    for (PublisherView& row : view_publishers(core, *agent)) {
      const auto found = place.find(row.topic_id);
      if (found == place.end()) continue;  // The agent wrote that number; it may be anything.
      TopicView& topic = topics[found->second];
      topic.message_count += row.message_count;
      topic.byte_count += row.byte_count;
      topic.delivery_count += row.delivery_count;
      topic.full_count += row.full_count;
      topic.none_count += row.none_count;
      if (row.last_ns && (!topic.last_publish_ns || *row.last_ns < *topic.last_publish_ns)) {
        topic.last_publish_ns = row.last_ns;
      }
      topic.publishers.push_back(std::move(row));
    }
  }

  const std::vector<TopicView> patterns = view_patterns(core);
  for (uint32_t id = 0; id < core.subscription_count(); ++id) {
    const std::optional<SubscriptionFacts> facts = core.subscription(id);
    if (!facts) continue;
    const auto found = place.find(facts->topic_id);
    if (found == place.end()) continue;
    add_subscriber(topics[found->second], view_subscription(core, *facts));
  }
  for (TopicView& topic : topics) {
    for (const TopicView& pattern : patterns) {
      if (!control::pattern_matches(pattern.name, topic.name)) continue;
      for (const SubscriptionView& row : pattern.subscribers) add_subscriber(topic, row);
    }
  }
  return topics;
}

std::vector<TopicView> view_patterns(const InspectCore& core) {
  std::vector<TopicView> patterns;
  std::unordered_map<std::string, std::size_t> place;
  for (uint32_t id = 0; id < core.subscription_count(); ++id) {
    const std::optional<SubscriptionFacts> facts = core.subscription(id);
    if (!facts || facts->pattern.empty()) continue;
    const auto [found, is_new] = place.emplace(facts->pattern, patterns.size());
    if (is_new) {
      TopicView pattern;
      pattern.id = facts->topic_id;
      pattern.name = facts->pattern;
      pattern.is_pattern = true;
      patterns.push_back(std::move(pattern));
    }
    add_subscriber(patterns[found->second], view_subscription(core, *facts));
  }
  for (TopicView& pattern : patterns) {
    for (uint32_t id = 0; id < core.topic_count(); ++id) {
      const std::optional<TopicFacts> topic = core.topic(id);
      if (topic && control::pattern_matches(pattern.name, topic->name)) pattern.topics.push_back(topic->name);
    }
  }
  return patterns;
}

}  // namespace ripstop::detail
