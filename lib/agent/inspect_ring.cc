#include <charconv>

#include "agent/inspect_core.h"

namespace ripstop::detail {

namespace {

void add_slots(const InspectCore& core, const ring::MpmcRing& ring, RingView& view) {
  for (uint32_t i = 0; i < ring.slot_count(); ++i) {
    SlotView slot = core.slot_view(ring.slot(i), i);
    if (slot.corrupt) {
      ++view.corrupt;
    } else if (slot.phase == "full") {
      ++view.waiting;
    } else if (slot.phase == "taken") {
      ++view.taken;
    } else if (slot.phase == "closed") {
      ++view.closed;
    }
    view.slots.push_back(std::move(slot));
  }
}

RingView describe(const InspectCore& core, const RingFacts& facts) {
  RingView view;
  view.id = facts.id;
  view.incarnation = facts.incarnation;
  view.node = facts.node;
  view.slot_count = facts.slot_count;
  view.slot_bytes = facts.slot_bytes;
  const bool channel = facts.kind == layout::RingKind::Channel;
  view.kind = channel ? "channel" : "queue";
  view.label = channel ? facts.name : std::to_string(facts.id);
  view.owner = facts.owner == 0 ? "" : core.agent_label(facts.owner);
  view.producer = facts.producer == 0 ? "" : core.agent_label(facts.producer);
  if (!channel)
    view.overflow =
        facts.overflow <= 3 ? to_string(static_cast<Overflow>(facts.overflow)) : "unknown";
  if (channel) {
    const auto place = core.map().channel(facts.id);
    if (!place) {
      ++view.corrupt;
      return view;
    }
    view.head = look(place->header->head);
    view.tail = look(place->header->tail);
    view.doorbell = look(place->header->doorbell);
    const uint64_t used = view.tail - view.head;
    if (used > view.slot_count) {
      // The two indices are read apart: a busy channel may show the head ahead. Twice is damage.
      ++view.corrupt;
    } else {
      view.waiting = static_cast<uint32_t>(used);
    }
    return view;
  }
  const auto place = core.map().queue(facts.id);
  if (!place) {
    ++view.corrupt;
    return view;
  }
  view.head = look(place->block->back.head_hint[0]);
  view.tail = look(place->block->front.tail_hint[0]);
  view.space_waiters = look(place->block->back.space_waiters);
  const SlotCounts counts = core.count_slots(place->ring, 0);
  view.waiting = counts.waiting;
  view.taken = counts.taken;
  view.closed = counts.closed;
  view.corrupt += counts.corrupt;
  return view;
}

// The lane of `name` in an inbox, or kLaneCount.
std::size_t lane_named(std::string_view name) {
  std::size_t lane = 0;
  while (lane < layout::kLaneCount && to_string(static_cast<Priority>(lane)) != name) ++lane;
  return lane;
}

Result<RingView> view_lane(const InspectCore& core, std::string_view label, std::size_t slash) {
  const std::string_view agent_name = label.substr(0, slash);
  const std::size_t lane = lane_named(label.substr(slash + 1));
  if (lane == layout::kLaneCount) {
    return Error{Errc::NotFound, 0,
                 "an inbox has no lane '" + std::string(label.substr(slash + 1)) + "'",
                 "the lanes are critical, high, normal, low, background", ""};
  }
  for (uint32_t id = 1; id < core.agent_count(); ++id) {
    const std::optional<AgentFacts> facts = core.agent(id);
    if (!facts || facts->name != agent_name) continue;
    layout::AgentBlock* block = core.map().block(id);
    if (block == nullptr) break;
    RingView view;
    view.label = label;
    view.kind = "lane";
    view.owner = facts->name;
    view.node = facts->node;
    view.incarnation = facts->incarnation;
    view.slot_bytes = sizeof(layout::Slot);
    view.head = look(block->back.head_hint[lane]);
    view.tail = look(block->front.tail_hint[lane]);
    view.doorbell = look(block->front.doorbell);
    view.space_waiters = look(block->back.space_waiters);
    const ring::MpmcRing ring = core.map().lane(*block, lane);
    view.slot_count = ring.slot_count();
    add_slots(core, ring, view);
    return view;
  }
  return not_found("agent", agent_name);
}

}  // namespace

std::vector<RingView> view_rings(const InspectCore& core) {
  std::vector<RingView> rings;
  for (uint32_t id = 0; id < core.ring_count(); ++id) {
    const std::optional<RingFacts> facts = core.ring(id);
    if (facts) rings.push_back(describe(core, *facts));
  }
  return rings;
}

Result<RingView> view_ring(const InspectCore& core, std::string_view label) {
  if (const std::size_t slash = label.find('/'); slash != std::string_view::npos) {
    return view_lane(core, label, slash);
  }
  uint32_t number = 0;
  const auto [end, status] = std::from_chars(label.data(), label.data() + label.size(), number);
  const bool is_number = status == std::errc{} && end == label.data() + label.size();
  for (uint32_t id = 0; id < core.ring_count(); ++id) {
    const std::optional<RingFacts> facts = core.ring(id);
    if (!facts) continue;
    const bool named = facts->kind == layout::RingKind::Channel && facts->name == label;
    if (!named && !(is_number && id == number)) continue;
    RingView view = describe(core, *facts);
    const auto queue = core.map().queue(id);
    if (queue) {
      view.waiting = view.taken = view.closed = view.corrupt = 0;
      add_slots(core, queue->ring, view);
    }
    return view;
  }
  return not_found("ring or channel", label);
}

}  // namespace ripstop::detail
