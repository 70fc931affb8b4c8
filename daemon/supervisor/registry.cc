// Edges.  R(directory) -> A(directory)  an entry's bytes, supervisor to reader.
//         R(route) -> A(route)          a route block's bytes, supervisor to publisher.
#include "supervisor/registry.h"

#include <time.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/clock.h"
#include "base/name_hash.h"
#include "control/pattern_view.h"
#include "control/topic_grammar.h"
#include "layout/agent_block.h"
#include "supervisor/channel_memory.h"
#include "supervisor/log.h"

namespace ripstop::supervisor {

namespace {

using layout::AgentState;

constexpr uint32_t kRingSlotsMin = 4;
constexpr uint32_t kRingSlotsMax = 65536;
constexpr uint32_t kChannelPayloadMax = 1u << 24;
constexpr uint64_t kSubscriptionInUse = 1;

void copy_text(char* field, std::size_t field_bytes, std::string_view text) noexcept {
  const std::size_t length = std::min(text.size(), field_bytes - 1);
  std::memset(field, 0, field_bytes);
  std::memcpy(field, text.data(), length);
}

void add_one(std::atomic<uint64_t>& counter) noexcept {
  counter.fetch_add(1, std::memory_order_relaxed);  // A counter: nothing hangs on it.
}

uint32_t unit_count_of(std::size_t receiver_count) noexcept {
  const std::size_t bytes = sizeof(layout::RouteHeader) + receiver_count * sizeof(layout::RouteReceiver);
  return static_cast<uint32_t>((bytes + layout::kRouteUnitBytes - 1) / layout::kRouteUnitBytes);
}

// What a publisher's row says of its topic.
struct RowSequence {
  uint32_t row;
  uint32_t topic_id;
  uint64_t sequence;
};

std::vector<RowSequence> sequences_of(const layout::AgentBlock& block) {
  std::vector<RowSequence> sequences;
  for (uint32_t row = 0; row < layout::kPublisherRows; ++row) {
    // Relaxed: whoever wrote them has ended.
    const uint64_t sequence = block.publishers[row].sequence.load(std::memory_order_relaxed);
    if (sequence != 0) sequences.push_back({row, block.publishers[row].topic_id.load(std::memory_order_relaxed), sequence});
  }
  return sequences;
}

void resume_rows(layout::AgentBlock& block, const std::vector<RowSequence>& sequences) noexcept {
  for (const RowSequence& each : sequences) {
    // Relaxed: the registry publishes the agent afterwards, with a release.
    block.publishers[each.row].topic_id.store(each.topic_id, std::memory_order_relaxed);
    block.publishers[each.row].sequence.store(each.sequence, std::memory_order_relaxed);
  }
}

// For whom an agent's messages are kept. A detached one meant to go: nobody is waited for.
control::Settlement::Estate estate_of(const layout::AgentEntry& entry, const control::LetterPolicy& policy) noexcept {
  const bool died = entry.ended == layout::AgentEnd::Died;
  control::Settlement::Estate estate;
  estate.name = control::ControlView::text_of(entry.name, sizeof entry.name);
  estate.reason = died ? layout::LetterReason::Died : layout::LetterReason::Detached;
  estate.until_ns = died && policy.grace_ns != 0 ? entry.end_time_ns + policy.grace_ns : 0;
  return estate;
}

Error no_room_for_subscription(std::string why) {
  return {Errc::SubscriptionsFull, 0, "the fabric has no room for another subscription", std::move(why),
          "configure more \"subscriptions\" or \"route_arena_bytes\""};
}

Error out_of_bounds(const char* what) {
  return {Errc::Protocol, 0, std::string(what) + " is out of bounds", "the request was not made by this library", ""};
}

}  // namespace

Registry::Registry(const SegmentManager& segments, const control::LetterPolicy& letters, TopicPolicy topics)
    : segments_(segments),
      super_(segments.superblock()),
      agents_(table<layout::AgentEntry>(super_.agents_offset)),
      topics_(table<layout::TopicEntry>(super_.topics_offset)),
      buckets_(table<layout::TopicBucket>(super_.buckets_offset)),
      subscriptions_(table<layout::SubscriptionEntry>(super_.subscriptions_offset)),
      routes_(table<std::byte>(super_.routes_offset)),
      route_arena_(static_cast<uint32_t>(super_.routes_bytes / layout::kRouteUnitBytes)),
      topic_policy_(std::move(topics)),
      patterns_(segments, route_arena_, [this](const auto& subscriptions) { return receivers_of(subscriptions); },
                [this](std::string_view pattern) { move_epochs(topic_names_.shards_of(pattern)); }),
      rings_(segments),
      letters_(segments.map(), super_, {table<layout::LetterEntry>(super_.letters_offset), super_.letter_capacity}, letters),
      settlement_(segments.map(), &letters_),
      soft_lease_(segments.map(), super_, letters_, settlement_),
      topic_subscriptions_(super_.topic_capacity),
      agent_subscriptions_(super_.agent_capacity) {
  take_over();
}

// In new memory this finds nothing; after a kill it finds what the last supervisor had written.
void Registry::take_over() {
  const control::ControlView& view = segments_.view();
  // A kill came between the last topic's count and its bucket: it is complete, and not found by its name.
  if (const uint32_t high = view.topic_high(); high > 0) {
    const layout::TopicEntry& last = topics_[high - 1];
    if (!view.find_topic(control::ControlView::text_of(last.name, sizeof last.name))) list_topic(high - 1);
  }
  for (uint32_t id = super_.subscription_capacity - 1; id >= 1; --id) {
    const layout::SubscriptionEntry& subscription = subscriptions_[id];
    // Relaxed, here and below: this thread is the only writer.
    const uint64_t word = subscription.word.load(std::memory_order_relaxed);
    subscription_serial_ = std::max(subscription_serial_, word >> 2);
    if ((word & 3) != kSubscriptionInUse) {
      free_subscriptions_.push_back(id);
      continue;
    }
    if (layout::is_pattern_id(subscription.topic_id)) {
      patterns_.restore(subscription.topic_id, id);
    } else {
      topic_subscriptions_[subscription.topic_id].push_back(id);
    }
    agent_subscriptions_[subscription.agent].push_back(id);
  }
  std::vector<uint32_t> torn = patterns_.finish_restore();
  for (uint32_t id = 0; id < view.topic_high(); ++id) {
    topic_names_.add(view.topic_name(id), topics_[id].hash);
    std::reverse(topic_subscriptions_[id].begin(), topic_subscriptions_[id].end());
    const auto unit = static_cast<uint32_t>(topics_[id].route.load(std::memory_order_relaxed));  // As above.
    std::vector<layout::RouteReceiver> receivers;
    if (unit != 0 && view.copy_route(id, receivers)) {
      route_arena_.claim(unit, reinterpret_cast<const layout::RouteHeader*>(routes_ + unit * layout::kRouteUnitBytes)->unit_count);
    }
    const auto wanted = receivers_of(topic_subscriptions_[id]);
    const bool same = receivers.size() == wanted.size() &&
                      (wanted.empty() || std::memcmp(receivers.data(), wanted.data(), wanted.size() * sizeof wanted[0]) == 0);
    if (!same) torn.push_back(id);
  }
  soft_lease_.finish();
  // What waited for a subscription that was being made goes before its route.
  letters_.finish();
  hand_over_all();
  for (const uint32_t id : torn) {
    if (!publish_route(id)) patterns_.mend_later(id);
    patterns_.close(id);  // Its last subscription may have ended before the kill.
  }
  // The kill may have come between a route and its shard of the epoch.
  move_epochs(~uint64_t{0});
  declare_topics();
  end_stray_queues();
  for (uint32_t id = 1; id < rings_.high(); ++id) {
    if (rings_.state(id) == kRingSettling) end_queue(id);
    const layout::RingEntry& ring = rings_.entry(id);
    // A kill came between the last end's leaving and this.
    const bool is_left = ring.kind == layout::RingKind::Channel && ring.owner == 0 && ring.producer == 0;
    if (is_left && rings_.state(id) == kRingInUse) free_ring(id);
  }
  for (const uint32_t id : agents()) {
    if (agent_state(id) == AgentState::Dead) settle(id, true);
  }
}

void Registry::end_stray_queues() {
  std::unordered_set<uint32_t> named;
  for (const auto& ids : agent_subscriptions_) {
    for (const uint32_t id : ids) named.insert(subscriptions_[id].ring_id);
  }
  for (uint32_t id = 1; id < rings_.high(); ++id) {
    const layout::RingEntry& ring = rings_.entry(id);
    // What a dead owner has goes with it.
    const bool is_settled_here = rings_.state(id) == kRingInUse && ring.kind == layout::RingKind::Queue &&
                                 agent_state(ring.owner) == AgentState::Live;
    if (is_settled_here && !named.contains(id)) end_queue(id);
  }
}

uint64_t Registry::next_incarnation() noexcept {
  // Relaxed: a number for once; it stands in the segment before anything bears it.
  return super_.next_incarnation.fetch_add(1, std::memory_order_relaxed) + 1;
}

uint64_t Registry::next_ring_incarnation(uint32_t agent_id) noexcept {
  const uint64_t inbox = agent_incarnation(agent_id);
  const std::vector<uint32_t> queues = queues_of(agent_id, inbox);
  const auto name = [&](uint64_t incarnation) { return layout::make_receiver(agent_id, incarnation); };
  for (;;) {  // At most one round for each ring the agent has.
    const uint64_t next = next_incarnation();
    const auto is_taken = [&](uint32_t id) { return name(rings_.incarnation(id)) == name(next); };
    if (name(inbox) != name(next) && std::none_of(queues.begin(), queues.end(), is_taken)) return next;
  }
}

// --- agents ---------------------------------------------------------------------------------------

AgentState Registry::agent_state(uint32_t agent_id) const noexcept {
  return layout::agent_word_state(agents_[agent_id].word.load(std::memory_order_relaxed));  // Ours alone.
}

uint64_t Registry::agent_incarnation(uint32_t agent_id) const noexcept {
  return layout::agent_word_incarnation(agents_[agent_id].word.load(std::memory_order_relaxed));  // Ours alone.
}

std::vector<uint32_t> Registry::agents() const {
  std::vector<uint32_t> ids;
  const uint32_t high = segments_.view().agent_high();
  for (uint32_t id = 1; id < high; ++id) {
    if (agent_state(id) != AgentState::Free) ids.push_back(id);
  }
  return ids;
}

std::optional<uint32_t> Registry::find_agent(std::string_view name) const noexcept {
  const uint32_t high = segments_.view().agent_high();
  for (uint32_t id = 1; id < high; ++id) {
    if (agent_state(id) == AgentState::Free) continue;
    if (control::ControlView::text_of(agents_[id].name, sizeof agents_[id].name) == name) return id;
  }
  return std::nullopt;
}

Result<AgentPlace> Registry::attach(const AgentIdentity& identity, uint32_t node_index,
                                    const std::function<void(const AgentPlace&)>& before_live) {
  if (const auto holder = find_agent(identity.name)) {
    const std::string pid = std::to_string(agents_[*holder].pid);
    return Error{Errc::NameTaken, 0, "agent " + identity.name + " is attached already",
                 "pid " + pid + " (" + agents_[*holder].program + ") has the name, as agent " + std::to_string(*holder),
                 "take another name, or end that process:     kill " + pid};
  }
  AgentPlace place;
  for (uint32_t step = 0; step < super_.node_count && place.id == 0; ++step) {
    place.node_index = (node_index + step) % super_.node_count;
    place.id = free_place(place.node_index).value_or(0);
  }
  if (place.id == 0) {
    const auto nodes = segments_.view().nodes();
    if (std::any_of(nodes.begin(), nodes.end(), [](const layout::NodeGeometry& node) { return node.poisoned != 0; })) {
      return Error{Errc::Corrupt, 0, "the fabric's memory lost pages, and there is no room on an undamaged node",
                   "a process punched a hole into it, or the kernel took pages away",
                   "end the fabric's supervisor and start it again"};
    }
    return Error{Errc::AgentsFull, 0, "the fabric has no room for another agent",
                 "all " + std::to_string(super_.agent_capacity - 1) + " places are taken",
                 "configure more \"agents\", or detach some:     shmctl agents"};
  }
  const auto predecessor = find_predecessor(identity.name);
  const std::vector<RowSequence> sequences = predecessor ? sequences_of(*segments_.map().block(*predecessor)) : std::vector<RowSequence>();
  place.incarnation = next_incarnation();
  settlement_.open_inbox(place.id, place.incarnation);
  // It lost a page just now, and is skipped from here on.
  if (super_.nodes[place.node_index].poisoned != 0) return attach(identity, node_index);
  resume_rows(*segments_.map().block(place.id), sequences);
  layout::AgentEntry& entry = agents_[place.id];
  entry.pid = identity.pid;
  entry.uid = identity.uid;
  entry.gid = identity.gid;
  entry.node_index = place.node_index;
  entry.attach_time_ns = base::monotonic_ns();
  entry.pidfd_inode = identity.pidfd_inode;
  entry.flags = identity.flags;
  entry.ended = layout::AgentEnd::None;
  entry.end_time_ns = 0;
  entry.ticket = identity.ticket;
  copy_text(entry.name, sizeof entry.name, identity.name);
  copy_text(entry.program, sizeof entry.program, identity.program);
  // First, for a kill in between: whoever lives is looked for below it. Relaxed: only we write it.
  if (place.id >= super_.agent_high.load(std::memory_order_relaxed)) {
    super_.agent_high.store(place.id + 1, std::memory_order_release);  // R(directory)
  }
  if (before_live) before_live(place);
  entry.word.store(layout::make_agent_word(place.incarnation, AgentState::Live), std::memory_order_release);  // R(directory)
  if (predecessor && *predecessor != place.id) agents_[*predecessor].end_time_ns = 0;  // Its place is as good as any.
  letters_.wait_for(identity.name, base::monotonic_ns() + letters_.policy().grace_ns);
  add_one(super_.attach_count);
  return place;
}

void Registry::settle(uint32_t agent_id, bool died) {
  layout::AgentEntry& entry = agents_[agent_id];
  const uint64_t incarnation = agent_incarnation(agent_id);
  const bool first_time = agent_state(agent_id) == AgentState::Live;
  if (first_time) {
    entry.ended = died ? layout::AgentEnd::Died : layout::AgentEnd::Detached;
    entry.end_time_ns = base::monotonic_ns();
  }
  entry.word.store(layout::make_agent_word(incarnation, AgentState::Dead), std::memory_order_release);  // R(directory)
  if (first_time) add_one(died ? super_.death_count : super_.detach_count);

  std::vector<uint32_t> topic_ids;
  for (const uint32_t id : agent_subscriptions_[agent_id]) topic_ids.push_back(subscriptions_[id].topic_id);
  std::sort(topic_ids.begin(), topic_ids.end());
  topic_ids.erase(std::unique(topic_ids.begin(), topic_ids.end()), topic_ids.end());
  for (const uint32_t topic_id : topic_ids) {
    if (!publish_route(topic_id)) patterns_.mend_later(topic_id);
  }

  const std::vector<uint32_t> queues = queues_of(agent_id, incarnation);
  count(settlement_.settle(agent_id, incarnation, queues, estate_of(entry, letters_.policy())));
  for (const uint32_t id : queues) free_ring(id);
  for (uint32_t id = 1; id < rings_.high(); ++id) {
    const layout::RingEntry& ring = rings_.entry(id);
    if (rings_.state(id) != kRingInUse || ring.kind != layout::RingKind::Channel) continue;
    const bool receives = ring.owner == agent_id && ring.owner_incarnation == incarnation;
    const bool sends = ring.producer == agent_id && ring.producer_incarnation == incarnation;
    if (receives) leave_channel(id, control::ChannelEnd::Receiver);
    if (sends) leave_channel(id, control::ChannelEnd::Sender);
  }
  for (const uint32_t id : std::vector<uint32_t>(agent_subscriptions_[agent_id])) free_subscription(id);
  for (const uint32_t topic_id : topic_ids) patterns_.close(topic_id);
  entry.word.store(layout::make_agent_word(incarnation, AgentState::Free), std::memory_order_release);  // R(directory)
  hand_over_all();  // What it still had to push to one whose successor is there already.
}

std::vector<uint32_t> Registry::queues_of(uint32_t agent_id, uint64_t incarnation) const {
  std::vector<uint32_t> ids;
  for (uint32_t id = 1; id < rings_.high(); ++id) {
    const layout::RingEntry& ring = rings_.entry(id);
    if (rings_.state(id) != kRingFree && ring.kind == layout::RingKind::Queue && ring.owner == agent_id &&
        ring.owner_incarnation == incarnation) {
      ids.push_back(id);
    }
  }
  return ids;
}

void Registry::count(const control::Settled& settled) noexcept {
  // Relaxed: counters.
  super_.recovered_messages.fetch_add(settled.message_count, std::memory_order_relaxed);
  super_.recovered_chunks.fetch_add(settled.chunk_count, std::memory_order_relaxed);
  super_.completed_sends.fetch_add(settled.completed_count, std::memory_order_relaxed);
  super_.corrupt_words.fetch_add(settled.corrupt_count, std::memory_order_relaxed);
}

// --- topics and subscriptions -----------------------------------------------------------------------

Result<uint32_t> Registry::topic(std::string_view name) {
  if (auto checked = control::check_topic(name); !checked) return checked.error();
  if (const auto found = segments_.view().find_topic(name)) return *found;
  if (auto known = topic_policy_.check(name, topic_names_); !known) return known.error();
  const uint32_t id = super_.topic_high.load(std::memory_order_relaxed);  // Relaxed: only we write it.
  if (id >= super_.topic_capacity) {
    return Error{Errc::TopicsFull, 0, "the fabric has no room for another topic",
                 "all " + std::to_string(super_.topic_capacity) + " are named",
                 "configure more \"topics\"; names with numbers in them use topics up"};
  }
  layout::TopicEntry& entry = topics_[id];
  entry.hash = base::name_hash(name);
  entry.name_bytes = static_cast<uint32_t>(name.size());
  copy_text(entry.name, sizeof entry.name, name);
  // R(directory): count, state and bucket each make the same bytes visible to their readers.
  super_.topic_high.store(id + 1, std::memory_order_release);
  list_topic(id);
  topic_names_.add(segments_.view().topic_name(id), entry.hash);
  return id;
}

void Registry::declare_topics() {
  for (const std::string& name : topic_policy_.declared()) {
    if (control::is_pattern(name)) continue;
    if (auto made = topic(name); !made) return log_error(LogLevel::Warning, "not all declared topics exist", made.error());
  }
}

Result<uint32_t> Registry::topic_or_pattern(std::string_view text) {
  if (!control::is_pattern(text)) return topic(text);
  if (auto checked = control::check_pattern(text); !checked) return checked.error();
  const std::string pattern = control::canonical_pattern(text);
  if (const auto id = patterns_.open(pattern)) return *id;
  if (wait_for_reuse()) {
    if (const auto id = patterns_.open(pattern)) return *id;
  }
  return no_room_for_subscription("the memory for routes is used up");
}

std::vector<uint32_t>& Registry::subscriptions_to(uint32_t topic_id) {
  return layout::is_pattern_id(topic_id) ? patterns_.subscriptions(topic_id) : topic_subscriptions_[topic_id];
}

void Registry::move_epochs(uint64_t shards) noexcept {
  for (uint32_t shard = 0; shard < layout::kEpochShards; ++shard) {
    // R(route): whoever sees the epoch move finds the new route.
    if (((shards >> shard) & 1) != 0) super_.route_epoch[shard].fetch_add(1, std::memory_order_release);
  }
}

bool Registry::overlap(uint32_t topic_id, uint32_t other_id) noexcept {
  return topic_id == other_id || layout::is_pattern_id(topic_id) || layout::is_pattern_id(other_id);
}

void Registry::list_topic(uint32_t topic_id) noexcept {
  layout::TopicEntry& entry = topics_[topic_id];
  layout::TopicBucket& bucket = buckets_[control::ControlView::bucket_of(entry.hash, super_.topic_bucket_count)];
  entry.next = bucket.load(std::memory_order_relaxed);   // Relaxed: only we write it.
  entry.state.store(1, std::memory_order_release);       // R(directory)
  bucket.store(topic_id + 1, std::memory_order_release);  // R(directory)
}

std::vector<layout::RouteReceiver> Registry::receivers_of(const std::vector<uint32_t>& subscriptions) const {
  std::vector<layout::RouteReceiver> receivers;
  std::unordered_set<uint32_t> inboxes;
  for (const uint32_t id : subscriptions) {
    const layout::SubscriptionEntry& subscription = subscriptions_[id];
    const uint32_t agent_id = subscription.agent;
    if (agent_state(agent_id) != AgentState::Live || agent_incarnation(agent_id) != subscription.agent_incarnation) continue;
    // An inbox is named once, however many subscriptions lead to it.
    if (subscription.ring_id == 0 && !inboxes.insert(agent_id).second) continue;
    layout::RouteReceiver receiver{};
    receiver.incarnation = subscription.ring_id == 0 ? subscription.agent_incarnation : rings_.incarnation(subscription.ring_id);
    receiver.agent = agent_id;
    receiver.ring_id = subscription.ring_id;
    receiver.overflow = subscription.overflow;
    receiver.subscription = id;
    receiver.subscription_row = subscription.row;
    receiver.agent_incarnation_low = static_cast<uint32_t>(subscription.agent_incarnation);
    receivers.push_back(receiver);
  }
  return receivers;
}

bool Registry::publish_route(uint32_t topic_id) {
  const auto published = [&] { return layout::is_pattern_id(topic_id) ? patterns_.publish(topic_id) : publish_topic_route(topic_id); };
  return published() || (wait_for_reuse() && published());
}

// Routes change faster than their blocks may be reused: this is where that is slowed down.
bool Registry::wait_for_reuse() const noexcept {
  if (route_arena_.next_reuse_ns() == 0) return false;
  const timespec until{0, 100'000'000};
  nanosleep(&until, nullptr);
  return true;
}

bool Registry::publish_topic_route(uint32_t topic_id) {
  layout::TopicEntry& topic = topics_[topic_id];
  const uint64_t old = topic.route.load(std::memory_order_relaxed);  // Relaxed: only we write it.
  const uint64_t version = (old >> 32) + 1;
  const auto receivers = receivers_of(topic_subscriptions_[topic_id]);
  uint64_t unit = 0;
  if (!receivers.empty()) {
    const uint32_t unit_count = unit_count_of(receivers.size());
    const auto place = route_arena_.allocate(unit_count, base::monotonic_ns());
    if (!place) {
      // Publishers look at their receivers again all the same: one of them may be dead.
      move_epochs(uint64_t{1} << control::ControlView::shard_of(topic.hash));
      return false;
    }
    unit = *place;
    std::byte* block = routes_ + unit * layout::kRouteUnitBytes;
    const layout::RouteHeader header{version & 0xffffffffu, topic_id, static_cast<uint32_t>(receivers.size()), unit_count, 0, {}};
    PatternTrie::store_words(block, &header, sizeof header);
    PatternTrie::store_words(block + sizeof header, receivers.data(), receivers.size() * sizeof receivers[0]);
  }
  topic.route.store(version << 32 | unit, std::memory_order_release);  // R(route)
  move_epochs(uint64_t{1} << control::ControlView::shard_of(topic.hash));
  if (const auto old_unit = static_cast<uint32_t>(old); old_unit != 0) {
    const auto* retired = reinterpret_cast<const layout::RouteHeader*>(routes_ + old_unit * layout::kRouteUnitBytes);
    route_arena_.retire(old_unit, retired->unit_count, base::monotonic_ns());
  }
  return true;
}

Result<control::SubscribeReply> Registry::subscribe(uint32_t agent_id, const control::SubscribeRequest& request) {
  if (request.overflow > 3) return out_of_bounds("overflow");
  if (request.row >= layout::kSubscriptionRows) return out_of_bounds("row");
  const uint32_t wanted_slots = request.slot_count == 0 ? super_.lane_slots[2] : request.slot_count;
  if (wanted_slots > kRingSlotsMax) return out_of_bounds("slot_count");
  for (const uint32_t id : agent_subscriptions_[agent_id]) {
    // Made before, and the answer was lost. A kill may have come before the route: taking over mended it.
    if (request.ticket == 0 || subscriptions_[id].ticket != request.ticket) continue;
    return control::SubscribeReply{id, subscriptions_[id].topic_id, subscriptions_[id].ring_id};
  }
  if (free_subscriptions_.empty()) {
    return no_room_for_subscription("all " + std::to_string(super_.subscription_capacity - 1) + " are taken");
  }
  auto topic_id = topic_or_pattern(request.topic);
  if (!topic_id) return topic_id.error();

  const uint64_t incarnation = agent_incarnation(agent_id);
  uint32_t ring_id = 0;
  if (request.own_ring || request.overflow != 0) {
    const uint32_t slot_count = std::bit_ceil(std::max(wanted_slots, kRingSlotsMin));
    auto ring = rings_.reserve({layout::RingKind::Queue, agents_[agent_id].node_index, slot_count, sizeof(layout::Slot)});
    if (!ring) {
      patterns_.close(*topic_id);
      return ring.error();
    }
    ring_id = *ring;
    layout::RingEntry& entry = rings_.entry(ring_id);
    entry.overflow = request.overflow;
    entry.place = next_place(agent_id, *topic_id);
    entry.owner = agent_id;
    entry.owner_incarnation = incarnation;
    entry.producer = 0;
    entry.producer_incarnation = 0;
    const uint64_t ring_incarnation = next_ring_incarnation(agent_id);
    settlement_.open_queue(ring_id, ring_incarnation);
    rings_.publish(ring_id, ring_incarnation, kRingInUse);
  }
  const uint32_t id = free_subscriptions_.back();
  free_subscriptions_.pop_back();
  layout::SubscriptionEntry& entry = subscriptions_[id];
  entry.agent = static_cast<uint16_t>(agent_id);
  entry.topic_id = *topic_id;
  entry.agent_incarnation = incarnation;
  entry.ring_id = ring_id;
  entry.overflow = request.overflow;
  entry.row = static_cast<uint8_t>(request.row);
  entry.ticket = request.ticket;
  entry.since_ns = base::monotonic_ns();
  // First, as in attach(). Relaxed: only we write it.
  if (id >= super_.subscription_high.load(std::memory_order_relaxed)) {
    super_.subscription_high.store(id + 1, std::memory_order_release);  // R(directory)
  }
  entry.word.store(++subscription_serial_ << 2 | kSubscriptionInUse, std::memory_order_release);  // R(directory)
  subscriptions_to(*topic_id).push_back(id);
  agent_subscriptions_[agent_id].push_back(id);
  hand_over(id);  // Before the route: what is published from then on lies behind.
  if (!publish_route(*topic_id)) {
    free_subscription(id);
    patterns_.close(*topic_id);
    if (ring_id != 0) end_queue(ring_id);
    return no_room_for_subscription("the memory for routes is used up");
  }
  return control::SubscribeReply{id, *topic_id, ring_id};
}

Result<void> Registry::unsubscribe(uint32_t agent_id, uint32_t subscription_id) {
  const auto& own = agent_subscriptions_[agent_id];
  if (std::find(own.begin(), own.end(), subscription_id) == own.end()) {
    return Error{Errc::NotFound, 0, "agent " + std::to_string(agent_id) + " has no subscription " + std::to_string(subscription_id),
                 "it has ended, or it is another agent's", ""};
  }
  const uint32_t topic_id = subscriptions_[subscription_id].topic_id;
  const uint32_t ring_id = subscriptions_[subscription_id].ring_id;
  free_subscription(subscription_id);
  if (!publish_route(topic_id)) {
    log(LogLevel::Warning, "no room for a shorter route: its old one stays");
    patterns_.mend_later(topic_id);
  }
  patterns_.close(topic_id);
  if (ring_id != 0) end_queue(ring_id);
  return {};
}

void Registry::free_subscription(uint32_t subscription_id) noexcept {
  layout::SubscriptionEntry& entry = subscriptions_[subscription_id];
  std::erase(subscriptions_to(entry.topic_id), subscription_id);
  std::erase(agent_subscriptions_[entry.agent], subscription_id);
  // Relaxed: only we write it.
  const uint64_t word = entry.word.load(std::memory_order_relaxed);
  entry.word.store(word & ~uint64_t{3}, std::memory_order_release);  // R(directory)
  free_subscriptions_.push_back(subscription_id);
}

void Registry::end_queue(uint32_t ring_id) {
  const uint32_t owner = rings_.entry(ring_id).owner;
  rings_.publish(ring_id, rings_.incarnation(ring_id), kRingSettling);
  count(settlement_.close_queue(ring_id, owner));
  free_ring(ring_id);
}

void Registry::free_ring(uint32_t ring_id) noexcept {
  rings_.publish(ring_id, rings_.incarnation(ring_id), kRingFree);
}

// --- dead letters -----------------------------------------------------------------------------------

bool Registry::is_in_grace(const layout::AgentEntry& entry) const noexcept {
  return entry.end_time_ns != 0 && entry.end_time_ns + letters_.policy().grace_ns > base::monotonic_ns();
}

std::optional<uint32_t> Registry::free_place(uint32_t node_index) const noexcept {
  const layout::NodeGeometry& node = super_.nodes[node_index];
  if (node.poisoned != 0) return std::nullopt;  // Who lives there may touch what is not there (damage.h).
  std::optional<uint32_t> longest;
  for (uint32_t id = node.agent_first; id < node.agent_first + node.agent_count; ++id) {
    if (agent_state(id) != AgentState::Free) continue;
    if (!is_in_grace(agents_[id])) return id;
    if (!longest || agents_[id].end_time_ns < agents_[*longest].end_time_ns) longest = id;
  }
  return longest;
}

std::optional<uint32_t> Registry::find_predecessor(std::string_view name) const noexcept {
  std::optional<uint32_t> last;
  const uint32_t high = segments_.view().agent_high();
  for (uint32_t id = 1; id < high; ++id) {
    const layout::AgentEntry& entry = agents_[id];
    if (agent_state(id) != AgentState::Free || !is_in_grace(entry)) continue;
    if (control::ControlView::text_of(entry.name, sizeof entry.name) != name) continue;
    if (!last || agent_incarnation(id) > agent_incarnation(*last)) last = id;
  }
  return last;
}

uint8_t Registry::place_of(uint32_t ring_id) const noexcept {
  return ring_id == 0 ? layout::kLetterInbox : rings_.entry(ring_id).place;
}

// The lowest number that no other ring of the agent's has for the topic: a successor that subscribes in the
// same order gets the same.
uint8_t Registry::next_place(uint32_t agent_id, uint32_t topic_id) const noexcept {
  const auto is_taken = [&](uint8_t place) {
    return std::any_of(agent_subscriptions_[agent_id].begin(), agent_subscriptions_[agent_id].end(), [&](uint32_t id) {
      return overlap(subscriptions_[id].topic_id, topic_id) && subscriptions_[id].ring_id != 0 &&
             place_of(subscriptions_[id].ring_id) == place;
    });
  };
  uint8_t place = layout::kLetterInbox + 1;
  while (place < 255 && is_taken(place)) ++place;
  return place;
}

control::DeadLetters::Destination Registry::destination_of(const layout::RouteReceiver& receiver) const noexcept {
  const layout::AgentEntry& entry = agents_[receiver.agent];
  return {layout::make_receiver(receiver.agent, receiver.incarnation), agent_incarnation(receiver.agent),
          control::ControlView::text_of(entry.name, sizeof entry.name), place_of(receiver.ring_id)};
}

bool Registry::is_subscribed(const layout::RouteReceiver& receiver) const noexcept {
  const layout::SubscriptionEntry& subscription = subscriptions_[receiver.subscription];
  // Relaxed: only we write it.
  return (subscription.word.load(std::memory_order_relaxed) & 3) == kSubscriptionInUse && subscription.agent == receiver.agent &&
         subscription.ring_id == receiver.ring_id && agent_state(receiver.agent) == AgentState::Live &&
         agent_incarnation(receiver.agent) == subscription.agent_incarnation;
}

layout::RouteReceiver Registry::receiver_of(uint32_t subscription_id) const noexcept {
  const layout::SubscriptionEntry& subscription = subscriptions_[subscription_id];
  layout::RouteReceiver receiver{};
  receiver.agent = subscription.agent;
  receiver.ring_id = subscription.ring_id;
  receiver.incarnation = subscription.ring_id == 0 ? subscription.agent_incarnation : rings_.incarnation(subscription.ring_id);
  return receiver;
}

bool Registry::is_to(uint32_t subscription_id, uint32_t topic_id) const {
  const uint32_t id = subscriptions_[subscription_id].topic_id;
  if (!layout::is_pattern_id(id)) return id == topic_id;
  const std::string_view topic = segments_.view().topic_name(topic_id);
  return !topic.empty() && control::pattern_matches(patterns_.text(id), topic);
}

void Registry::hand_over(uint32_t subscription_id) {
  const control::DeadLetters::Destination to = destination_of(receiver_of(subscription_id));
  for (const uint32_t topic_id : letters_.awaited_topics(to.name)) {
    if (is_to(subscription_id, topic_id)) letters_.hand_over(topic_id, to);
  }
}

std::vector<control::Revoked> Registry::revoke_overdue(uint64_t now_ns, const control::SoftLeasePolicy& policy) {
  return soft_lease_.look(now_ns, policy, [this](uint32_t agent_id, uint32_t topic_id, uint32_t ring) -> std::optional<control::DeadLetters::Destination> {
    for (const uint32_t id : agent_subscriptions_[agent_id]) {
      const layout::RouteReceiver receiver = receiver_of(id);
      const bool is_same = is_to(id, topic_id) && layout::make_receiver(agent_id, receiver.incarnation) == ring;
      if (is_same) return destination_of(receiver);
    }
    return std::nullopt;
  });
}

void Registry::hand_over_all() {
  for (const std::string& name : letters_.awaited()) {
    const auto agent_id = find_agent(name);
    if (!agent_id || agent_state(*agent_id) != AgentState::Live) continue;
    for (const uint32_t id : agent_subscriptions_[*agent_id]) hand_over(id);
  }
}

uint32_t Registry::replay_letters(uint64_t serial) {
  return letters_.replay(serial, [this](uint32_t topic_id) {
    std::vector<control::DeadLetters::Destination> receivers;
    std::vector<layout::RouteReceiver> route;
    if (!control::find_receivers(segments_.view(), topic_id, route)) return receivers;
    for (const layout::RouteReceiver& receiver : route) {
      // A route that could not be shortened names some that have ended.
      if (is_subscribed(receiver)) receivers.push_back(destination_of(receiver));
    }
    return receivers;
  });
}

// --- channels -----------------------------------------------------------------------------------------

Result<control::ChannelReply> Registry::open_channel(uint32_t agent_id, const control::ChannelOpenRequest& request) {
  if (auto named = control::check_name(request.name); !named) return named.error();
  if (request.payload_bytes == 0 || request.payload_bytes > kChannelPayloadMax) return out_of_bounds("payload_bytes");
  if (request.slot_count == 0 || request.slot_count > kRingSlotsMax) return out_of_bounds("slot_count");
  const auto slot_bytes = static_cast<uint32_t>(
      base::round_up(request.payload_bytes + sizeof(layout::ChannelSlot), base::kCacheLineBytes));
  const uint32_t slot_count = std::bit_ceil(std::max(request.slot_count, 2u));
  const bool sends = request.end == control::ChannelEnd::Sender;
  const uint64_t incarnation = agent_incarnation(agent_id);

  auto ring_id = rings_.find_channel(request.name);
  if (ring_id) {
    const layout::RingEntry& ring = rings_.entry(*ring_id);
    const uint32_t holder = sends ? ring.producer : ring.owner;
    const uint32_t ticket = sends ? ring.producer_ticket : ring.owner_ticket;
    if (holder == agent_id && request.ticket != 0 && ticket == request.ticket) {
      // Opened before, and the answer was lost, with the next line perhaps.
      if (sends) set_producer(segments_.map(), *ring_id, layout::make_receiver(agent_id, incarnation));
      return control::ChannelReply{*ring_id, rings_.incarnation(*ring_id)};
    }
    if (holder != 0) {
      return Error{Errc::ChannelBusy, 0,
                   "the " + std::string(sends ? "sender's" : "receiver's") + " end of channel " + request.name + " is taken",
                   "agent " + std::string(agents_[holder].name) + " (pid " + std::to_string(agents_[holder].pid) + ") has it",
                   "use another channel, or a topic, which any number may share"};
    }
    if (ring.slot_bytes != slot_bytes || ring.slot_count != slot_count) {
      return Error{Errc::WrongGeometry, 0, "channel " + request.name + " has another geometry",
                   "it has " + std::to_string(ring.slot_count) + " slots of " +
                       std::to_string(ring.slot_bytes - sizeof(layout::ChannelSlot)) + " bytes, asked were " +
                       std::to_string(slot_count) + " of " + std::to_string(request.payload_bytes),
                   "open both ends with the same ChannelOptions"};
    }
  }
  const bool is_new = !ring_id;
  if (is_new) {
    auto reserved = rings_.reserve({layout::RingKind::Channel, agents_[agent_id].node_index, slot_count, slot_bytes});
    if (!reserved) return reserved.error();
    ring_id = *reserved;
    supervisor::open_channel(segments_.map(), *ring_id);
  }
  layout::RingEntry& ring = rings_.entry(*ring_id);
  if (is_new) {
    copy_text(ring.name, sizeof ring.name, request.name);
    ring.owner = ring.producer = 0;
    ring.owner_incarnation = ring.producer_incarnation = 0;
  }
  (sends ? ring.producer_incarnation : ring.owner_incarnation) = incarnation;
  (sends ? ring.producer_ticket : ring.owner_ticket) = request.ticket;
  // R(directory): a supervisor that takes over here finds the end open with all that belongs to it.
  __atomic_store_n(sends ? &ring.producer : &ring.owner, agent_id, __ATOMIC_RELEASE);
  if (sends) set_producer(segments_.map(), *ring_id, layout::make_receiver(agent_id, incarnation));
  const uint64_t ring_incarnation = is_new ? next_incarnation() : rings_.incarnation(*ring_id);
  rings_.publish(*ring_id, ring_incarnation, kRingInUse);
  return control::ChannelReply{*ring_id, ring_incarnation};
}

Result<void> Registry::close_channel(uint32_t agent_id, uint32_t ring_id, control::ChannelEnd end) {
  const bool exists = ring_id >= 1 && ring_id < rings_.high() && rings_.state(ring_id) == kRingInUse &&
                      rings_.entry(ring_id).kind == layout::RingKind::Channel;
  const uint32_t holder = !exists                                ? 0
                          : end == control::ChannelEnd::Sender ? rings_.entry(ring_id).producer
                                                                 : rings_.entry(ring_id).owner;
  if (holder != agent_id) {
    return Error{Errc::NotFound, 0, "agent " + std::to_string(agent_id) + " does not have that end of channel " + std::to_string(ring_id),
                 "it was closed before, or it is another agent's", ""};
  }
  leave_channel(ring_id, end);
  return {};
}

void Registry::leave_channel(uint32_t ring_id, control::ChannelEnd end) {
  layout::RingEntry& ring = rings_.entry(ring_id);
  rest(segments_.map(), ring_id, end);
  wake_ends(segments_.map(), ring_id);  // First: as long as the end is taken, a supervisor that takes over comes here again.
  if (end == control::ChannelEnd::Sender) {
    ring.producer = 0;
    set_producer(segments_.map(), ring_id, 0);
  } else {
    ring.owner = 0;
  }
  if (ring.owner == 0 && ring.producer == 0) free_ring(ring_id);
}

}  // namespace ripstop::supervisor
