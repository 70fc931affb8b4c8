// What waits for an agent and what it has in hand: its lanes, its own rings, its held table.
//
// A lane with one taker is read in place: what is in hand stays FULL there. The agent's counters say
// how many messages that are; the first in the queues are taken to be those.
#include <algorithm>
#include <functional>

#include "agent/inspect_core.h"
#include "control/direct_slab.h"

namespace ripstop::detail {

namespace {

constexpr uint64_t kInHandMost =
    4096;  // More than lanes and held table have; a bound on a scribble.

struct Age {
  std::size_t lane;
  uint64_t age_ns;
};

void add_lane(const InspectCore& core, AgentView& agent, LaneView lane, const ring::MpmcRing& ring,
              std::size_t ages_count, std::vector<Age>& ages) {
  const SlotCounts counts = core.count_slots(ring, ages_count);
  lane.capacity = ring.slot_count();
  lane.waiting = counts.waiting;
  lane.taken = counts.taken;
  agent.corrupt += counts.corrupt;
  for (const uint64_t age_ns : counts.ages_ns) ages.push_back({agent.lanes.size(), age_ns});
  agent.lanes.push_back(std::move(lane));
}

// How many messages the agent has in hand, by its own counters; bounded by what there can be.
uint64_t count_in_hand(const AgentView& agent) {
  const uint64_t taken = agent.taken_count + agent.orphan_count;
  const uint64_t in_hand = taken > agent.released_count ? taken - agent.released_count : 0;
  return std::min(in_hand, kInHandMost);
}

void settle_lanes(AgentView& agent, uint64_t in_hand, std::vector<Age> ages) {
  uint64_t seen = agent.held;
  for (const LaneView& lane : agent.lanes) seen += lane.taken;
  std::stable_sort(ages.begin(), ages.end(),
                   [](const Age& a, const Age& b) { return a.age_ns > b.age_ns; });
  std::size_t in_place = in_hand > seen ? static_cast<std::size_t>(in_hand - seen) : 0;
  in_place = std::min(in_place, ages.size());
  for (std::size_t i = 0; i < ages.size(); ++i) {
    LaneView& lane = agent.lanes[ages[i].lane];
    if (i < in_place && lane.waiting > 0) {
      --lane.waiting;
      ++lane.taken;
    } else if (!lane.oldest_ns) {
      lane.oldest_ns = ages[i].age_ns;
    }
  }
  for (const LaneView& lane : agent.lanes) {
    agent.waiting += lane.waiting;
    agent.taken += lane.taken;
    agent.fullest = std::max(agent.fullest, static_cast<double>(lane.waiting) / lane.capacity);
    if (lane.oldest_ns)
      agent.oldest_wait_ns = std::max(agent.oldest_wait_ns.value_or(0), *lane.oldest_ns);
  }
}

uint32_t count_held(const InspectCore& core, const layout::AgentBlock& block, uint32_t& corrupt) {
  uint32_t held = 0;
  for (const base::AtomicPair& word : block.held) {
    const uint64_t high = look(word.high);
    if (layout::word_phase(high) == layout::Phase::Empty) continue;
    const uint64_t reference = look(word.low);
    const layout::ChunkHeader* chunk = core.map().chunks().find(layout::reference_chunk(reference));
    if (chunk == nullptr) {
      ++corrupt;
      continue;
    }
    // An entry whose bit is gone, or whose generation has moved, counts as empty.
    const uint64_t bit = uint64_t{1} << layout::unpack(high).bit;
    const bool current = layout::same_generation(reference, look(chunk->holders.low)) &&
                         (look(chunk->holders.high) & bit) != 0;
    if (current) ++held;
  }
  return held;
}

void add_lanes(const InspectCore& core, const layout::AgentBlock& block, AgentView& agent,
               std::size_t ages_count, std::vector<Age>& ages) {
  auto& writable =
      const_cast<layout::AgentBlock&>(block);  // For the ring's view; nothing is written.
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    LaneView view;
    view.label = to_string(static_cast<Priority>(lane));
    add_lane(core, agent, std::move(view), core.map().lane(writable, lane), ages_count, ages);
  }
}

void add_rings(const InspectCore& core, const AgentFacts& facts, AgentView& agent,
               std::size_t ages_count, std::vector<Age>& ages) {
  for (uint32_t id = 0; id < core.ring_count(); ++id) {
    const std::optional<RingFacts> ring = core.ring(id);
    if (!ring || ring->kind != layout::RingKind::Queue || ring->owner != facts.id) continue;
    const auto queue = core.map().queue(id);
    if (!queue) {
      ++agent.corrupt;
      continue;
    }
    LaneView view;
    view.label = "ring " + std::to_string(id);
    view.ring_id = id;
    add_lane(core, agent, std::move(view), queue->ring, ages_count, ages);
  }
}

// What publishers have put into direct lanes to the agent (direct_lane.h), taken or not.
void add_direct(const InspectCore& core, const layout::AgentBlock& block, AgentView& agent,
                std::size_t ages_count, std::vector<Age>& ages) {
  const memory::ChunkMap& chunks = core.map().chunks();
  for (const base::AtomicPair& entry : block.direct) {
    const control::DirectEntry direct = control::read_direct(entry);
    if (direct.word.state == layout::DirectState::Free) continue;
    LaneView lane;
    lane.label = "direct " + core.agent_label(layout::receiver_agent(direct.source));
    std::vector<uint64_t> ages_ns;
    const bool exists = control::for_each_direct(
        chunks, direct, [&](layout::ChunkId chunk, const control::DirectCopy& copy) {
          if (!control::has_bit(copy, direct.word.bit)) return;
          ++lane.waiting;
          if (const auto age_ns = core.age_of(chunks.find(chunk)->publish_time_ns)) ages_ns.push_back(*age_ns);
        });
    if (!exists) {
      ++agent.corrupt;
      continue;
    }
    const auto first = static_cast<layout::ChunkId>(direct.word.slab << layout::kSlabIndexBits);
    lane.capacity = chunks.slab_of(first).chunk_count;
    std::sort(ages_ns.begin(), ages_ns.end(), std::greater<>());
    ages_ns.resize(std::min(ages_ns.size(), ages_count));
    for (const uint64_t age_ns : ages_ns) ages.push_back({agent.lanes.size(), age_ns});
    agent.lanes.push_back(std::move(lane));
  }
}

}  // namespace

void view_lanes(const InspectCore& core, const AgentFacts& facts, const layout::AgentBlock& block,
                AgentView& agent) {
  const uint64_t in_hand = count_in_hand(agent);
  std::vector<Age> ages;
  add_lanes(core, block, agent, in_hand + 1, ages);
  add_rings(core, facts, agent, in_hand + 1, ages);
  add_direct(core, block, agent, in_hand + 1, ages);
  agent.held = count_held(core, block, agent.corrupt);
  settle_lanes(agent, in_hand, std::move(ages));
}

}  // namespace ripstop::detail
