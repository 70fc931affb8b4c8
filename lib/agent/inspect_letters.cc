// The dead letters, and what waits for a successor.
#include <algorithm>

#include "agent/inspect_core.h"
#include "control/delivery.h"

namespace ripstop::detail {

namespace {

std::string reason_text(layout::LetterReason reason) {
  switch (reason) {
    case layout::LetterReason::Died: return "died";
    case layout::LetterReason::Detached: return "detached";
    case layout::LetterReason::NoRoom: return "no_room";
    case layout::LetterReason::Closed: return "closed";
    case layout::LetterReason::Overdue: return "overdue";
  }
  return "unknown";
}

}  // namespace

std::vector<LetterView> view_letters(const InspectCore& core) {
  std::vector<LetterView> views;
  const uint64_t now_ns = base::monotonic_ns();
  for (uint32_t id = 0; id < core.view().letter_capacity(); ++id) {
    const auto facts = core.letter(id);
    if (!facts || !control::is_open(core.map(), facts->delivery)) continue;
    LetterView view;
    view.serial = facts->serial;
    view.waits = facts->state == layout::LetterState::Waiting;
    view.reason = reason_text(facts->reason);
    view.agent = facts->name;
    view.topic_id = facts->topic_id;
    view.topic = core.topic_label(facts->topic_id);
    view.sequence = facts->sequence;
    view.attempt = facts->delivery.attempt;
    view.priority = to_string(static_cast<Priority>(std::min<uint32_t>(facts->lane, layout::kLaneCount - 1)));
    view.payload_bytes = facts->payload_bytes;
    view.chunk = InspectCore::chunk_label(layout::reference_chunk(facts->delivery.reference));
    view.age_ns = now_ns > facts->since_ns ? now_ns - facts->since_ns : 0;
    if (view.waits) view.wait_ns = facts->until_ns > now_ns ? facts->until_ns - now_ns : 0;
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(), [](const LetterView& a, const LetterView& b) { return a.serial < b.serial; });
  return views;
}

}  // namespace ripstop::detail
