// A receiver as a publisher has resolved it: where its rings, its doorbell and its counters are.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "control/fabric_map.h"
#include "layout/agent_block.h"
#include "layout/control_segment.h"
#include "ring/mpmc_ring.h"
#include "ripstop/types.h"

namespace ripstop::detail {

struct Receiver {
  std::array<ring::MpmcRing, layout::kLaneCount> lanes;  // All the same for a ring of its own.
  uint64_t incarnation;                                  // The rings'.
  std::atomic<uint32_t>* doorbell;
  layout::RingBack* back;
  layout::SubscriptionRow* row;
  layout::AgentBlock* block;
  uint32_t name;  // make_receiver().
  uint32_t last_rung = 0;
  bool own_ring;
  Overflow overflow;
  std::array<uint64_t, layout::kLaneCount> head_seen{};  // The takers' hints, as last read.
  uint64_t head_mark = 0;  // One of them, when it was last asked whether the receiver keeps up.
  const layout::RingEntry* entry = nullptr;  // Of a ring of its own.

  // Whether the ring is still that of the route. A full ring's slots do not say; so whoever makes room in
  // it looks at them first, then asks this: after a yes a ring that changes hands has other turns.
  bool has_its_ring() const noexcept {
    return entry == nullptr ||
           entry->word.load(std::memory_order_acquire) == layout::make_ring_word(incarnation, layout::kRingInUse);  // A(directory)
  }
};

// Whether the agent whose inbox the receiver word names is alive, as far as the registry knows.
bool is_live(const control::FabricMap& map, uint32_t inbox) noexcept;

// Makes receivers of a route's entries; the dead are left out, and so is an entry that names nothing
// inside the maps, which is counted in `corrupt_count`.
std::vector<Receiver> resolve_receivers(const control::FabricMap& map,
                                        const std::vector<layout::RouteReceiver>& entries, uint32_t& corrupt_count);

}  // namespace ripstop::detail
