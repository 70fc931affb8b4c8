#include "agent/receiver.h"

#include <optional>

namespace ripstop::detail {

namespace {

std::optional<Receiver> resolve(const control::FabricMap& map, const layout::RouteReceiver& entry) {
  layout::AgentBlock* block = map.block(entry.agent);
  if (block == nullptr || entry.subscription_row >= layout::kSubscriptionRows) return std::nullopt;
  layout::SubscriptionRow* row = &block->subscriptions[entry.subscription_row];
  const uint32_t name = layout::make_receiver(entry.agent, entry.incarnation);
  const auto overflow = static_cast<Overflow>(entry.overflow & 3);
  if (entry.ring_id != 0) {
    const auto queue = map.queue(entry.ring_id);
    if (!queue) return std::nullopt;
    const ring::MpmcRing ring = queue->ring;
    return Receiver{{ring, ring, ring, ring, ring}, entry.incarnation, &block->front.doorbell, &queue->block->back,
                    row, block, name, 0, true, overflow, {}, 0, map.ring_entry(entry.ring_id)};
  }
  return Receiver{{map.lane(*block, 0), map.lane(*block, 1), map.lane(*block, 2), map.lane(*block, 3), map.lane(*block, 4)},
                  entry.incarnation, &block->front.doorbell, &block->back, row, block, name, 0, false, overflow, {}};
}

}  // namespace

bool is_live(const control::FabricMap& map, uint32_t inbox) noexcept {
  const layout::AgentEntry* entry = map.agent_entry(layout::receiver_agent(inbox));
  if (entry == nullptr) return false;
  const uint64_t word = entry->word.load(std::memory_order_acquire);  // A(directory)
  return layout::agent_word_state(word) == layout::AgentState::Live &&
         (layout::agent_word_incarnation(word) & 0x3ffff) == layout::receiver_incarnation(inbox);
}

std::vector<Receiver> resolve_receivers(const control::FabricMap& map,
                                        const std::vector<layout::RouteReceiver>& entries, uint32_t& corrupt_count) {
  std::vector<Receiver> receivers;
  receivers.reserve(entries.size());
  for (const layout::RouteReceiver& entry : entries) {
    const uint32_t inbox = layout::make_receiver(entry.agent, entry.agent_incarnation_low);
    if (map.agent_entry(entry.agent) != nullptr && !is_live(map, inbox)) continue;
    if (auto receiver = resolve(map, entry)) {
      receivers.push_back(*receiver);
    } else {
      ++corrupt_count;
    }
  }
  return receivers;
}

}  // namespace ripstop::detail
