#include <unordered_map>

#include "agent/inspect_core.h"

namespace ripstop::detail {

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

  for (uint32_t id = 0; id < core.subscription_count(); ++id) {
    const std::optional<SubscriptionFacts> facts = core.subscription(id);
    if (!facts) continue;
    const auto found = place.find(facts->topic_id);
    if (found == place.end()) continue;
    SubscriptionView row = view_subscription(core, *facts);
    topics[found->second].dropped_count += row.dropped_count;
    topics[found->second].subscribers.push_back(std::move(row));
  }
  return topics;
}

}  // namespace ripstop::detail
