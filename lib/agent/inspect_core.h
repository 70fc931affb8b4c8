// What an Inspector looks through: the maps of one fabric and the bounded reading of their words.
//
// Every word is read relaxed: a look is true word by word and takes part in no protocol. What must
// belong together (an entry of the control segment) is copied between two equal readings of its state
// word.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/control_view.h"
#include "control/delivery.h"
#include "control/fabric_map.h"
#include "layout/control_segment.h"
#include "memory/lost_pages.h"
#include "ripstop/inspect.h"

namespace ripstop::detail {

template <class T>
T look(const std::atomic<T>& word) noexcept {
  return word.load(std::memory_order_relaxed);  // A look, see the head.
}

// What the registry says of an agent, copied.
struct AgentFacts {
  uint32_t id = 0;
  uint64_t incarnation = 0;
  layout::AgentState state = layout::AgentState::Free;
  uint32_t pid = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t node = 0;
  uint64_t attach_time_ns = 0;
  uint32_t flags = 0;
  std::string name;
};

struct TopicFacts {
  uint32_t id = 0;
  uint64_t route = 0;
  std::string name;
};

struct SubscriptionFacts {
  uint32_t id = 0;
  uint32_t agent = 0;
  uint32_t topic_id = 0;
  uint64_t agent_incarnation = 0;
  uint32_t ring_id = 0;
  uint8_t overflow = 0;
  uint32_t row = 0;
  uint64_t since_ns = 0;
  std::string pattern;  // Empty: it is to a topic.
};

struct RingFacts {
  uint32_t id = 0;
  uint64_t incarnation = 0;
  layout::RingKind kind = layout::RingKind::Queue;
  uint32_t node = 0;
  uint32_t slot_count = 0;
  uint32_t slot_bytes = 0;
  uint8_t overflow = 0;
  uint32_t owner = 0;
  uint32_t producer = 0;
  std::string name;
};

// A delivery that is kept: a dead letter, or one that waits for a successor.
struct LetterFacts {
  uint64_t serial = 0;
  layout::LetterState state = layout::LetterState::Free;
  layout::LetterReason reason = layout::LetterReason::Died;
  control::Delivery delivery{};
  uint32_t topic_id = 0;
  uint64_t sequence = 0;
  uint32_t payload_bytes = 0;
  uint8_t lane = 0;
  uint64_t since_ns = 0;  // CLOCK_MONOTONIC.
  uint64_t until_ns = 0;
  std::string name;
};

// What the slots of one ring say together.
struct SlotCounts {
  uint32_t waiting = 0;
  uint32_t taken = 0;
  uint32_t closed = 0;
  uint32_t corrupt = 0;
  std::vector<uint64_t> ages_ns;  // Of the first that are FULL, the first in the queue first.
};

class InspectCore {
 public:
  // Where the descriptors came from, told in the views.
  struct Origin {
    std::string read_via;  // "supervisor" or "keeper".
    std::string supervisor_silence;
    std::shared_ptr<const void> maps;  // Kept alive; may be null.
    std::vector<memory::LostPages> lost_pages;  // Of the nodes, where this process survives it.
  };

  // Errors: Corrupt, AbiMismatch, LayoutMismatch, as ControlView::open().
  // Lifetime: the spans outlive it, or are kept alive by origin.maps.
  static Result<std::shared_ptr<const InspectCore>> create(
      std::span<const std::byte> control, std::span<const std::span<const std::byte>> nodes,
      Origin origin);

  const Origin& origin() const noexcept { return origin_; }
  const control::FabricMap& map() const noexcept { return *map_; }
  const control::ControlView& view() const noexcept { return *view_; }
  const layout::Superblock& superblock() const noexcept { return view_->superblock(); }
  uint64_t control_bytes() const noexcept { return control_bytes_; }
  uint64_t node_bytes(uint32_t node) const noexcept { return node_bytes_[node]; }
  uint32_t node_count() const noexcept { return static_cast<uint32_t>(node_bytes_.size()); }
  uint32_t agent_block_bytes() const noexcept { return agent_block_bytes_; }

  uint64_t now_ns() const noexcept { return base::scaled_now_ns(clock_); }
  // now - `time_ns`; nothing when it is 0, 0 when it lies ahead.
  std::optional<uint64_t> age_of(uint64_t time_ns) const noexcept;

  // Tables of the control segment. Nothing: free, out of range, or changing too fast to be copied.
  std::optional<AgentFacts> agent(uint32_t id) const;
  std::optional<TopicFacts> topic(uint32_t id) const;
  std::optional<SubscriptionFacts> subscription(uint32_t id) const;
  std::optional<RingFacts> ring(uint32_t id) const;
  std::optional<LetterFacts> letter(uint32_t id) const;
  // How many entries of each may be in use: ids are below.
  uint32_t agent_count() const noexcept { return view_->agent_high(); }
  uint32_t topic_count() const noexcept { return view_->topic_high(); }
  uint32_t subscription_count() const noexcept { return view_->subscription_high(); }
  uint32_t ring_count() const noexcept { return view_->ring_high(); }

  // For people: the agent's name, "#17" when it has none, "dropped" for the reserved owner.
  std::string agent_label(uint32_t id) const;
  std::string topic_label(uint32_t id) const;
  std::string topic_label(const SubscriptionFacts& facts) const;  // Or the pattern.
  static std::string chunk_label(uint32_t chunk_id);

  // Counts the phases of a ring's slots, and looks up the ages of the first `ages_count` FULL ones.
  SlotCounts count_slots(const ring::MpmcRing& ring, std::size_t ages_count) const;
  // One slot, decoded.
  SlotView slot_view(const layout::Slot& slot, uint32_t index) const;

 private:
  InspectCore() = default;

  Origin origin_;
  std::optional<control::ControlView> view_;
  std::optional<control::FabricMap> map_;
  std::vector<uint64_t> node_bytes_;
  uint64_t control_bytes_ = 0;
  uint32_t agent_block_bytes_ = 0;
  base::TscScale clock_;
};

// The views, one file each. `core` outlives the call.
FabricView view_fabric(const InspectCore& core);
std::vector<NodeView> view_nodes(const InspectCore& core);
AgentView view_agent(const InspectCore& core, const AgentFacts& facts);
std::vector<AgentView> view_agents(const InspectCore& core);
std::vector<TopicView> view_topics(const InspectCore& core);
std::vector<TopicView> view_patterns(const InspectCore& core);
std::vector<RingView> view_rings(const InspectCore& core);
std::vector<LetterView> view_letters(const InspectCore& core);
Result<RingView> view_ring(const InspectCore& core, std::string_view label);
Result<ChunkView> view_chunk(const InspectCore& core, std::string_view label);

// Rows of an agent's block. view_lanes() wants the counters to be in `agent` already.
void view_lanes(const InspectCore& core, const AgentFacts& facts, const layout::AgentBlock& block,
                AgentView& agent);
std::vector<PublisherView> view_publishers(const InspectCore& core, const AgentFacts& facts);
SubscriptionView view_subscription(const InspectCore& core, const SubscriptionFacts& facts);

Error not_found(std::string_view kind, std::string_view name);

}  // namespace ripstop::detail
