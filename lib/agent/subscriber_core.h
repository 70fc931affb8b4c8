// One subscription: what is waiting for it, and its counters.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "agent/inbox.h"
#include "agent/sequence_window.h"
#include "base/counter.h"
#include "layout/chunk_header.h"
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
  void count(const layout::ChunkHeader& header, uint64_t time_ns) noexcept {
    using base::count_up;  // All but dropped_count, which is not ours alone.
    count_up(row->message_count, 1);
    count_up(row->byte_count, header.payload_bytes);
    row->last_time_ns.store(time_ns, std::memory_order_relaxed);  // Relaxed: for whoever looks.
    const uint64_t publisher = ((uint64_t{header.source} << 8) | header.publisher_row) + 1;
    const uint64_t sequence = header.sequence;
    if (!sequences.is_next(publisher, sequence)) count_gap(publisher, sequence);
  }

  std::shared_ptr<AgentCore> agent;
  std::string topic;
  uint32_t topic_id;
  uint32_t subscription_id;
  Source* ring;  // Null: the inbox.
  layout::SubscriptionRow* row;
  std::deque<Delivered> pending;  // Taken while another subscription was asked for.
  SequenceWindow sequences;

 private:
  void count_gap(uint64_t publisher, uint64_t sequence) noexcept;
};

}  // namespace ripstop::detail
