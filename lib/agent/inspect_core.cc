// ControlView and FabricMap bound the geometry once; this file reads entries and slots through them.
// The maps are read-only; FabricMap's pointers are not const because agents use it to write. Nothing
// here writes through them.
#include "agent/inspect_core.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "control/pattern_view.h"
#include "memory/holders.h"

namespace ripstop::detail {

namespace {

constexpr int kCopyTries = 4;  // An entry that changes under each of them is left out.

std::string copy_name(const char* field, std::size_t field_bytes) {
  return std::string(field, strnlen(field, field_bytes));
}

// Copies what `copy` copies between two equal readings of `word`.
template <class Word, class Copy>
bool copied_whole(const std::atomic<Word>& word, Copy copy) {
  for (int tries = 0; tries < kCopyTries; ++tries) {
    // A(directory): the copy comes after this reading, and before the next one.
    const Word before = word.load(std::memory_order_acquire);
    if (!copy(before)) return false;
    std::atomic_thread_fence(std::memory_order_acquire);
    if (look(word) == before) return true;
  }
  return false;
}

}  // namespace

Result<std::shared_ptr<const InspectCore>> InspectCore::create(
    std::span<const std::byte> control, std::span<const std::span<const std::byte>> nodes,
    Origin origin) {
  auto view = control::ControlView::open(control);
  if (!view) return view.error();
  auto core = std::shared_ptr<InspectCore>(new InspectCore());
  std::vector<std::span<std::byte>> writable;
  for (const std::span<const std::byte> node : nodes) {
    writable.emplace_back(const_cast<std::byte*>(node.data()), node.size());
    core->node_bytes_.push_back(node.size());
  }
  auto map = control::FabricMap::create(control, writable);
  if (!map) return map.error();
  core->view_ = std::move(*view);
  core->map_ = std::move(*map);
  core->control_bytes_ = control.size();
  const layout::Superblock& super = core->view_->superblock();
  core->agent_block_bytes_ = super.agent_block_bytes;
  core->clock_ = {super.tsc_base, super.tsc_base_ns, super.tsc_mult};
  core->origin_ = std::move(origin);
  return std::shared_ptr<const InspectCore>(std::move(core));
}

std::optional<uint64_t> InspectCore::age_of(uint64_t time_ns) const noexcept {
  if (time_ns == 0) return std::nullopt;
  const uint64_t now = now_ns();
  return now > time_ns ? now - time_ns : 0;
}

std::optional<AgentFacts> InspectCore::agent(uint32_t id) const {
  const layout::AgentEntry* entry = id == 0 ? nullptr : view_->agent_entry(id);
  if (entry == nullptr) return std::nullopt;
  AgentFacts facts;
  const bool whole = copied_whole(entry->word, [&](uint64_t word) {
    facts.id = id;
    facts.incarnation = layout::agent_word_incarnation(word);
    facts.state = layout::agent_word_state(word);
    facts.pid = entry->pid;
    facts.uid = entry->uid;
    facts.gid = entry->gid;
    facts.node = entry->node_index;
    facts.attach_time_ns = entry->attach_time_ns;
    facts.flags = entry->flags;
    facts.name = copy_name(entry->name, sizeof entry->name);
    return facts.state == layout::AgentState::Live || facts.state == layout::AgentState::Dead;
  });
  if (!whole) return std::nullopt;
  return facts;
}

std::optional<TopicFacts> InspectCore::topic(uint32_t id) const {
  const layout::TopicEntry* entry = view_->topic_entry(id);
  if (entry == nullptr) return std::nullopt;
  TopicFacts facts;
  const bool whole = copied_whole(entry->state, [&](uint32_t state) {
    facts.id = id;
    facts.route = look(entry->route);
    facts.name = copy_name(entry->name, sizeof entry->name);
    return state == 1;
  });
  if (!whole) return std::nullopt;
  return facts;
}

std::optional<SubscriptionFacts> InspectCore::subscription(uint32_t id) const {
  const layout::SubscriptionEntry* entry = view_->subscription_entry(id);
  if (entry == nullptr) return std::nullopt;
  SubscriptionFacts facts;
  const bool whole = copied_whole(entry->word, [&](uint64_t word) {
    facts = {id,
             entry->agent,
             entry->topic_id,
             entry->agent_incarnation,
             entry->ring_id,
             entry->overflow,
             entry->row,
             entry->since_ns,
             control::PatternView(*view_).text_of(entry->topic_id)};
    return (word & 3) == 1;
  });
  if (!whole) return std::nullopt;
  return facts;
}

std::optional<RingFacts> InspectCore::ring(uint32_t id) const {
  const layout::RingEntry* entry = view_->ring_entry(id);
  if (entry == nullptr) return std::nullopt;
  RingFacts facts;
  const bool whole = copied_whole(entry->word, [&](uint64_t word) {
    facts = {id,
             word >> 2,
             entry->kind,
             entry->node_index,
             entry->slot_count,
             entry->slot_bytes,
             entry->overflow,
             entry->owner,
             entry->producer,
             copy_name(entry->name, sizeof entry->name)};
    return (word & 3) == 1;
  });
  if (!whole) return std::nullopt;
  return facts;
}

std::optional<LetterFacts> InspectCore::letter(uint32_t id) const {
  const layout::LetterEntry* entry = view_->letter_entry(id);
  if (entry == nullptr) return std::nullopt;
  LetterFacts facts;
  const bool whole = copied_whole(entry->word, [&](uint64_t word) {
    facts = {layout::letter_word_serial(word),
             layout::letter_word_state(word),
             layout::letter_word_reason(word),
             {entry->reference, entry->bit, layout::letter_word_attempt(word)},
             entry->topic_id,
             entry->sequence,
             entry->payload_bytes,
             entry->lane,
             entry->since_ns,
             entry->until_ns,
             copy_name(entry->name, sizeof entry->name)};
    return facts.state == layout::LetterState::Waiting || facts.state == layout::LetterState::Dead;
  });
  if (!whole) return std::nullopt;
  return facts;
}

std::string InspectCore::agent_label(uint32_t id) const {
  if (id == layout::kOwnerNone) return "supervisor";
  if (id == layout::kOwnerDropped) return "dropped";
  const std::optional<AgentFacts> facts = agent(id);
  return facts && !facts->name.empty() ? facts->name : "#" + std::to_string(id);
}

std::string InspectCore::topic_label(uint32_t id) const {
  const std::optional<TopicFacts> facts = topic(id);
  return facts ? facts->name : "#" + std::to_string(id);
}

std::string InspectCore::topic_label(const SubscriptionFacts& facts) const {
  return facts.pattern.empty() ? topic_label(facts.topic_id) : facts.pattern;
}

std::string InspectCore::chunk_label(uint32_t chunk_id) {
  return std::to_string(layout::chunk_node(chunk_id)) + "/" +
         std::to_string(layout::chunk_slab(chunk_id)) + "/" +
         std::to_string(layout::chunk_index(chunk_id));
}

SlotCounts InspectCore::count_slots(const ring::MpmcRing& ring, std::size_t ages_count) const {
  struct Full {
    int64_t turn;  // Ahead of the first that was found.
    uint32_t index;
    layout::Reference reference;
  };
  SlotCounts counts;
  std::vector<Full> full;
  uint64_t first_turn = 0;
  for (uint32_t i = 0; i < ring.slot_count(); ++i) {
    const layout::Slot& slot = ring.slot(i);
    const uint64_t high = look(slot.high);
    const uint64_t low = look(slot.low);
    const layout::SlotState state = layout::unpack(high);
    if (state.phase == layout::Phase::Closed) ++counts.closed;
    if (state.phase != layout::Phase::Full && state.phase != layout::Phase::Taken) continue;
    if (map_->chunks().find(layout::reference_chunk(low)) == nullptr) {
      // The halves may be of two lives when the slot moved in between; then it is not counted at all.
      if (look(slot.high) == high) ++counts.corrupt;
    } else if (state.phase == layout::Phase::Taken) {
      ++counts.taken;
    } else {
      if (full.empty()) first_turn = state.turn;
      full.push_back({layout::turn_distance(state.turn, first_turn), i, low});
    }
  }
  counts.waiting = static_cast<uint32_t>(full.size());
  ages_count = std::min(ages_count, full.size());
  std::partial_sort(full.begin(), full.begin() + static_cast<std::ptrdiff_t>(ages_count),
                    full.end(), [](const Full& a, const Full& b) {
                      return std::tie(a.turn, a.index) < std::tie(b.turn, b.index);
                    });
  for (std::size_t i = 0; i < ages_count; ++i) {
    const layout::ChunkHeader* chunk =
        map_->chunks().find(layout::reference_chunk(full[i].reference));
    const uint64_t sent_ns = chunk->publish_time_ns;
    // Read before the generation: of another life, it is not used.
    if (!layout::same_generation(full[i].reference, look(chunk->holders.low))) continue;
    if (const std::optional<uint64_t> age = age_of(sent_ns)) counts.ages_ns.push_back(*age);
  }
  return counts;
}

SlotView InspectCore::slot_view(const layout::Slot& slot, uint32_t index) const {
  SlotView view;
  view.index = index;
  view.high = look(slot.high);
  view.low = look(slot.low);
  const layout::SlotState state = layout::unpack(view.high);
  view.turn = state.turn;
  view.bit = state.bit;
  view.attempt = state.attempt;
  switch (state.phase) {
    case layout::Phase::Empty: view.phase = "empty"; return view;
    case layout::Phase::Closed: view.phase = "closed"; return view;
    case layout::Phase::Full: view.phase = "full"; break;
    case layout::Phase::Taken: view.phase = "taken"; break;
  }
  if (state.phase == layout::Phase::Taken) view.owner = agent_label(state.owner);
  const uint32_t chunk_id = layout::reference_chunk(view.low);
  view.chunk = chunk_label(chunk_id);
  view.generation = layout::reference_generation(view.low);
  const layout::ChunkHeader* chunk = map_->chunks().find(chunk_id);
  view.corrupt = chunk == nullptr || state.bit >= layout::kDeliveryCount;
  if (view.corrupt) return view;
  const memory::Holders holders = memory::read_holders(*chunk);
  view.current = layout::same_generation(view.low, holders.generation) &&
                 (holders.bits & (uint64_t{1} << state.bit)) != 0;
  return view;
}

Error not_found(std::string_view kind, std::string_view name) {
  return {Errc::NotFound, 0, "there is no " + std::string(kind) + " '" + std::string(name) + "'",
          "", ""};
}

}  // namespace ripstop::detail
