// One subscription: what is waiting for it, and its counters.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "agent/inbox.h"
#include "agent/sequence_window.h"
#include "layout/agent_block.h"
#include "ripstop/subscriber.h"

namespace ripstop::detail {

class SubscriberCore {
 public:
  SubscriberCore(std::shared_ptr<AgentCore> agent, std::string topic, uint32_t topic_id, uint32_t subscription_id,
                 Source* ring, layout::SubscriptionRow& row);
  SubscriberCore(const SubscriberCore&) = delete;
  SubscriberCore& operator=(const SubscriberCore&) = delete;
  ~SubscriberCore();

  // Counts a message on its way to the user: bytes, gaps, repetitions.
  void count(const layout::ChunkHeader& header, uint64_t time_ns) noexcept;

  std::shared_ptr<AgentCore> agent;
  std::string topic;
  uint32_t topic_id;
  uint32_t subscription_id;
  Source* ring;  // Null: the inbox.
  layout::SubscriptionRow* row;
  std::deque<Delivered> pending;  // Taken while another subscription was asked for.
  SequenceWindow sequences;
};

}  // namespace ripstop::detail
