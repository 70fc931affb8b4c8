#include "proof/explorer/stage.h"

#include <algorithm>

#include "ripstop/types.h"

namespace ripstop::explorer {

using layout::Phase;

namespace {

constexpr uint32_t kTopic = 7;

uint32_t payload_bytes_of(uint32_t id) { return 16 + id; }

}  // namespace

void write_payload(layout::ChunkHeader& header, uint32_t id) {
  auto* words = reinterpret_cast<uint64_t*>(memory::payload(header));
  words[0] = id;
  words[1] = ~uint64_t{id};
  header.payload_bytes = payload_bytes_of(id);
}

uint32_t read_payload(layout::ChunkHeader& header) {
  const auto* words = reinterpret_cast<const uint64_t*>(memory::payload(header));
  const uint64_t id = words[0];
  if (words[1] != ~id || id >= kMessagesMax || header.payload_bytes != payload_bytes_of(static_cast<uint32_t>(id))) return 0;
  return static_cast<uint32_t>(id);
}

// --- the stage ----------------------------------------------------------------------------------------------

Stage::Stage(const fabric::FakeShape& shape) : fabric(shape) {
  for (auto& each : order) each.reserve(64);
}

std::vector<std::span<std::byte>> Stage::shared() {
  auto* control = reinterpret_cast<std::byte*>(&fabric.superblock());
  const std::span<std::byte> node = fabric.node_bytes(0);
  return {{control, fabric.superblock().control_bytes / 8 * 8}, node.first(node.size() / 8 * 8)};
}

std::string Stage::name_of(std::size_t region, std::size_t offset) {
  const layout::Superblock& super = fabric.superblock();
  const layout::NodeGeometry& geometry = super.nodes[0];
  const auto in = [&](uint64_t first, uint64_t bytes) { return offset >= first && offset < first + bytes; };
  const auto number = [](uint64_t value) { return std::to_string(value); };
  if (region == 0) {
    if (in(super.agents_offset, super.agent_capacity * sizeof(layout::AgentEntry))) {
      return "agent " + number((offset - super.agents_offset) / sizeof(layout::AgentEntry)) + "'s entry";
    }
    return "control +" + number(offset);
  }
  if (in(geometry.slab_owners_offset, geometry.slab_count * 8)) {
    return "owner of slab " + number((offset - geometry.slab_owners_offset) / 8);
  }
  if (in(geometry.agent_blocks_offset, geometry.agent_count * super.agent_block_bytes)) {
    const uint64_t agent = (offset - geometry.agent_blocks_offset) / super.agent_block_bytes;
    const uint64_t at = (offset - geometry.agent_blocks_offset) % super.agent_block_bytes;
    const std::string whose = "agent " + number(agent) + "'s ";
    for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
      if (at >= super.lane_offset[lane] && at < super.lane_offset[lane] + super.lane_slots[lane] * 16) {
        const uint64_t slot = at - super.lane_offset[lane];
        return whose + "lane " + number(lane) + " slot " + number(slot / 16) + (slot % 16 == 0 ? " reference" : " state");
      }
    }
    const std::pair<std::size_t, const char*> parts[] = {
        {offsetof(layout::AgentBlock, latency_ns), "histogram"}, {offsetof(layout::AgentBlock, subscriptions), "subscriptions"},
        {offsetof(layout::AgentBlock, publishers), "publisher rows"}, {offsetof(layout::AgentBlock, direct), "direct table"},
        {offsetof(layout::AgentBlock, held), "held table"}, {offsetof(layout::AgentBlock, senders), "intent"},
        {offsetof(layout::AgentBlock, counters), "counters"}, {offsetof(layout::AgentBlock, back), "back line"},
        {offsetof(layout::AgentBlock, front), "front line"}};
    for (const auto& [first, name] : parts) {
      if (at >= first) return whose + name + " +" + number(at - first);
    }
    return whose + "header";
  }
  if (in(geometry.ring_arena_offset, geometry.ring_arena_bytes)) return "ring arena +" + number(offset - geometry.ring_arena_offset);
  for (uint32_t slab = 0; slab < geometry.slab_count; ++slab) {
    const memory::SlabPlace& place = chunks().slab(0, slab);
    const uint64_t first = static_cast<uint64_t>(place.first - fabric.node_bytes(0).data());
    if (!in(first, uint64_t{place.stride_bytes} * place.chunk_count)) continue;
    const uint64_t at = (offset - first) % place.stride_bytes;
    const std::string which = "chunk " + number((offset - first) / place.stride_bytes) + " of slab " + number(slab);
    if (at < 16) return which + (at < 8 ? " generation" : " bits");
    return which + " +" + number(at);
  }
  return "node +" + number(offset);
}

void Stage::took(uint32_t agent, uint32_t id) {
  note((uint64_t{1} << 32) | id);
  if (id == 0) {
    records[0].is_torn = true;
    return;
  }
  ++records[id].taken[agent];
  order[agent].push_back(id);
}

void Stage::released(uint32_t agent, uint32_t id) {
  note((uint64_t{2} << 32) | id);
  records[id].released[agent] = true;
}

std::vector<uint32_t> Stage::rings_of(uint32_t agent) {
  std::vector<uint32_t> rings;
  for (uint32_t ring_id = 1; fabric.map().ring_entry(ring_id) != nullptr; ++ring_id) {
    const layout::RingEntry& entry = fabric.ring_entry(ring_id);
    if ((entry.word.load(std::memory_order_relaxed) & 3) == layout::kRingInUse && entry.owner == agent) rings.push_back(ring_id);
  }
  return rings;
}

// As Registry's constructor and settle().
void Stage::recover() {
  for (;;) {
    uint32_t agent = 0;
    const uint32_t count = fabric.superblock().agent_capacity;
    for (uint32_t id = 1; id < count && agent == 0; ++id) {
      if (layout::agent_word_state(fabric.entry(id).word.load(std::memory_order_acquire)) == layout::AgentState::Dead) agent = id;
    }
    for (uint32_t id = 1; id < count && agent == 0; ++id) {
      if (!is_dead(id)) continue;
      // Whoever came in its place lives.
      const uint64_t word = fabric.entry(id).word.load(std::memory_order_acquire);
      if (word == layout::make_agent_word(first_incarnations_[id], layout::AgentState::Live)) agent = id;
    }
    if (agent == 0) return;
    layout::AgentEntry& entry = fabric.entry(agent);
    const uint64_t incarnation = fabric.incarnation(agent);
    entry.word.store(layout::make_agent_word(incarnation, layout::AgentState::Dead), std::memory_order_release);
    fabric.superblock().route_epoch[0].fetch_add(1, std::memory_order_release);
    const std::vector<uint32_t> rings = rings_of(agent);
    (void)fabric.settlement().settle(agent, incarnation, rings);
    settle_further(agent);
    for (const uint32_t ring_id : rings) {
      std::atomic<uint64_t>& word = fabric.ring_entry(ring_id).word;
      word.store(word.load(std::memory_order_relaxed) & ~uint64_t{3}, std::memory_order_release);
    }
    entry.word.store(layout::make_agent_word(incarnation, layout::AgentState::Free), std::memory_order_release);
    after_settling(agent);
  }
}

void Stage::drain_ring(ring::MpmcRing ring, uint32_t agent, uint64_t incarnation) {
  uint64_t first = 0;
  for (uint64_t i = 0; i < ring.slot_count(); ++i) {  // From the oldest turn on.
    const auto key = [&](uint64_t index) { return layout::word_turn(ring.read(index).state) * 1024 + index; };
    if (key(i) < key(first)) first = i;
  }
  for (uint64_t i = 0; i < ring.slot_count(); ++i) {
    ring::SlotView view = ring.read(first + i);
    const layout::SlotState state = layout::unpack(view.state);
    if (state.phase != Phase::Full && state.phase != Phase::Taken) continue;
    layout::ChunkHeader* header = chunks().find(layout::reference_chunk(view.low));
    const bool is_open = header != nullptr && control::is_open(fabric.map(), {view.low, state.bit});
    const uint32_t id = is_open ? read_payload(*header) : 0;
    // What is in the hands of a taker that lives was counted there; what is to be dropped is dropped.
    if (is_open && state.phase == Phase::Full) took(agent, id);
    if (is_open && state.phase == Phase::Taken && (id == 0 || state.owner == layout::kOwnerDropped || records[id].taken[state.owner % kAgentsMax] == 0)) {
      has_lost_owner_ = true;
    }
    if (is_open) (void)memory::release(chunks(), view.low, state.bit);
    (void)ring.finish((layout::word_turn(view.state) * ring.slot_count()) + ((first + i) % ring.slot_count()), view, incarnation);
  }
}

void Stage::drain(uint32_t agent) {
  for (base::AtomicPair& held : fabric.block(agent).held) {
    const control::Delivery delivery{held.low.load(), layout::unpack(held.high.load()).bit};
    if (delivery.reference == 0) continue;
    if (control::is_open(fabric.map(), delivery)) {
      const uint32_t id = read_payload(*chunks().find(layout::reference_chunk(delivery.reference)));
      has_lost_owner_ = has_lost_owner_ || id == 0 || records[id].taken[agent] == 0;
    }
    (void)memory::release(chunks(), delivery.reference, delivery.bit);
    base::Pair entry{held.low.load(), held.high.load()};
    (void)held.compare_exchange(entry, {0, 0});
  }
  if (queue == 0) {
    drain_ring(fabric.lane(agent, kLane), agent, fabric.incarnation(agent));
  } else if (fabric.ring_entry(queue).owner == agent || shares) {
    if (const auto place = fabric.map().queue(queue)) drain_ring(place->ring, agent, place->incarnation);
  }
}

bool Stage::may_sleep(uint32_t agent) {
  const ring::MpmcRing ring = queue != 0 ? fabric.map().queue(queue)->ring : fabric.lane(agent, kLane);
  for (uint64_t i = 0; i < ring.slot_count(); ++i) {
    const ring::SlotView view = ring.read(i);
    if (layout::word_phase(view.state) == Phase::Full) return false;
  }
  return true;
}

Finding Stage::ask_records() {
  if (has_lost_owner_) return {Harm::Leaked, "a message is in somebody's hands who does not know of it"};
  if (records[0].is_torn) return {Harm::Wrong, "somebody read a message that is torn"};
  for (uint32_t id = 1; id < kMessagesMax; ++id) {
    const Record& record = records[id];
    const std::string what = "message " + std::to_string(id);
    uint32_t got = 0;
    uint32_t got_alive = 0;
    uint32_t alive = 0;
    uint32_t total = 0;
    for (const uint32_t agent : receivers) {
      const bool lives = !is_dead(agent);
      total += record.taken[agent];
      if (record.taken[agent] > 1) return {Harm::Doubled, what + " came to agent " + std::to_string(agent) + " twice"};
      const uint32_t bit = 1u << agent;
      if (record.taken[agent] != 0) got |= bit;
      if (lives) alive |= bit;
      if (record.taken[agent] != 0 && (record.named & bit) == 0 && !shares) {
        return {Harm::Wrong, what + " came to agent " + std::to_string(agent) + ", which it was not for"};
      }
      if (record.taken[agent] != 0 && !record.is_begun) return {Harm::Wrong, what + " was not sent and came"};
    }
    got_alive = got & alive;
    if (shares) {
      if (total > 1) return {Harm::Doubled, what + " was taken twice"};
      // Where a taker died, what it had is settled with it.
      if (record.has_returned && record.reached != 0 && total == 0 && alive == (alive | record.named)) {
        return {Harm::Lost, what + " was sent and nobody has it"};
      }
      continue;
    }
    if (drops) continue;
    const uint32_t due = record.has_returned ? record.reached & alive : 0;
    if ((due & ~got_alive) != 0) return {Harm::Lost, what + " was sent and did not come"};
    if (record.has_returned && (got_alive & ~record.reached) != 0) {
      return {Harm::Wrong, what + " came to somebody whom its send says it did not reach"};
    }
    // A publisher that died in a send: all or nothing, among those who live.
    if (!record.has_returned && !may_fill && got_alive != 0 && got_alive != (record.named & alive)) {
      return {Harm::Lost, what + " came to some of its receivers only"};
    }
  }
  if (!is_ordered) return {};
  for (const uint32_t agent : receivers) {
    std::array<uint32_t, kAgentsMax> last{};
    for (const uint32_t id : order[agent]) {
      uint32_t& before = last[records[id].publisher];
      if (id < before) return {Harm::Wrong, "message " + std::to_string(id) + " came after " + std::to_string(before)};
      before = id;
    }
  }
  return {};
}

Finding Stage::look_for_leaks() {
  for (uint32_t slab = 0; slab < chunks().slab_count(0); ++slab) {
    for (uint32_t index = 0; index < chunks().slab(0, slab).chunk_count; ++index) {
      const memory::Holders holders = memory::read_holders(*chunks().find(layout::make_chunk_id(0, slab, index)));
      if (holders.bits == 0) continue;
      char words[96];
      std::snprintf(words, sizeof words, "chunk %u of slab %u keeps bits %llx", index, slab, static_cast<unsigned long long>(holders.bits));
      return {Harm::Leaked, words};
    }
    const uint64_t word = chunks().slab_owner(0, slab).load();
    const uint32_t owner = layout::slab_owner_agent(word);
    if (owner != 0 && is_dead(owner) && layout::slab_owner_incarnation(word) == fabric.incarnation(owner)) {
      return {Harm::Leaked, "slab " + std::to_string(slab) + " is a dead agent's"};
    }
  }
  return {};
}

// A ring takes and gives back exactly its capacity.
Finding Stage::fill_and_drain() {
  for (const uint32_t agent : receivers) {
    if (is_dead(agent) || (queue != 0 && agent != fabric.ring_entry(queue).owner)) continue;
    if (queue != 0 && (fabric.ring_entry(queue).word.load() & 3) != layout::kRingInUse) continue;
    ring::MpmcRing ring = queue != 0 ? fabric.map().queue(queue)->ring : fabric.lane(agent, kLane);
    const uint64_t incarnation = queue != 0 ? fabric.map().queue(queue)->incarnation : fabric.incarnation(agent);
    uint32_t pushed = 0;
    ring::Push last = ring::Push::Ok;
    while (pushed <= ring.slot_count()) {
      last = ring.push(incarnation, layout::make_reference(1, 1'000'000 + pushed), 0, 0);
      if (last != ring::Push::Ok) break;
      ++pushed;
    }
    if (pushed != ring.slot_count() || last != ring::Push::Full) {
      return {Harm::Blocked, "agent " + std::to_string(agent) + "'s ring took " + std::to_string(pushed) + " of " +
                                 std::to_string(ring.slot_count()) + " messages"};
    }
  }
  return {};
}

Finding Stage::settle_again() {
  for (uint32_t agent = 1; agent < fabric.superblock().agent_capacity; ++agent) {
    if (!is_dead(agent)) continue;
    if (layout::agent_word_state(fabric.entry(agent).word.load()) == layout::AgentState::Live) continue;  // A successor.
    const control::Settled settled = fabric.settlement().settle(agent, fabric.incarnation(agent), {});
    if (settled.corrupt_count != 0) return {Harm::Wrong, "recovery finds words out of bounds"};
    if (settled.message_count + settled.chunk_count + settled.completed_count + settled.full_count != 0) {
      return {Harm::Wrong, "recovery, run again, finds something to do"};
    }
  }
  return {};
}

Finding Stage::judge(const std::vector<bool>& asleep) {
  for (uint32_t agent = 1; agent < fabric.superblock().agent_capacity; ++agent) {
    if (is_dead(agent) && layout::agent_word_state(fabric.entry(agent).word.load()) == layout::AgentState::Dead) {
      return {Harm::Blocked, "agent " + std::to_string(agent) + " is not settled"};
    }
  }
  for (std::size_t i = 0; i < asleep.size(); ++i) {
    if (asleep[i] && !may_sleep(actors[i].agent)) return {Harm::Blocked, actors[i].name + " sleeps though it has something to do"};
  }
  if (Finding finding = settle_again(); finding.harm != Harm::None) return finding;
  for (const uint32_t agent : receivers) {
    if (is_dead(agent)) continue;
    drain(agent);
    drain_further(agent);
  }
  if (Finding finding = ask_records(); finding.harm != Harm::None) return finding;
  if (Finding finding = look_further(); finding.harm != Harm::None) return finding;
  if (Finding finding = look_for_leaks(); finding.harm != Harm::None) return finding;
  return fill_and_drain();
}

// --- a publisher -----------------------------------------------------------------------------------------------

Publisher::Publisher(Stage& stage, uint32_t agent, std::vector<uint32_t> receivers, Ways ways)
    : stage_(stage),
      agent_(agent),
      ways_(ways),
      heap_(stage.chunks(), 0, agent, stage.fabric.incarnation(agent)),
      intent_(stage.fabric.block(agent).senders[0]),
      row_(stage.fabric.block(agent).publishers[0]) {
  for (const uint32_t receiver : receivers) targets_.push_back(resolve(receiver));
}

Publisher::Target Publisher::resolve(uint32_t agent) {
  fabric::FakeFabric& fabric = stage_.fabric;
  layout::AgentBlock& block = fabric.block(agent);
  for (uint32_t ring_id = 1; fabric.map().ring_entry(ring_id) != nullptr; ++ring_id) {
    const layout::RingEntry& entry = fabric.ring_entry(ring_id);
    if ((entry.word.load(std::memory_order_acquire) & 3) != layout::kRingInUse || entry.owner != agent) continue;
    const auto queue = fabric.map().queue(ring_id);
    return {agent, queue->ring, queue->incarnation, layout::make_receiver(agent, queue->incarnation), &queue->block->back, &block.front.doorbell, &entry};
  }
  return {agent, fabric.lane(agent, kLane), fabric.incarnation(agent), fabric.name(agent), &block.back, &block.front.doorbell, nullptr};
}

ring::Tail Publisher::look_for_room(Target& target) {
  if (const auto tail = target.ring.guess_tail(target.incarnation, target.head_seen)) return *tail;
  return target.ring.find_tail(target.incarnation);
}

ring::Tail Publisher::wait_for_room(Target& target) {
  for (Target& each : targets_) ring(each);
  for (;;) {
    const ring::Tail tail = target.ring.find_tail(target.incarnation);
    if (tail.outcome != ring::Push::Full) return tail;
    ring::wait_for_space(*target.back, ring::kSpaceSliceNs, [&]() noexcept {
      return target.ring.find_tail(target.incarnation).outcome != ring::Push::Full;
    });
  }
}

ring::Push Publisher::push(Target& target, ring::Tail tail, const detail::Delivery& delivery) {
  for (uint32_t round = 0; round < 4 * target.ring.slot_count() + 64; ++round) {
    const ring::Push pushed = tail.outcome == ring::Push::Ok
                                  ? target.ring.push(tail, target.incarnation, delivery.reference, delivery.bit, 0)
                                  : tail.outcome;
    if (pushed != ring::Push::Full) return pushed;
    if (ways_.drops_oldest) {
      tail = target.ring.find_tail(target.incarnation);
      if (tail.outcome != ring::Push::Full) continue;
      // As Receiver::has_its_ring().
      const auto is_still = [&] {
        return target.entry == nullptr || target.entry->word.load(std::memory_order_acquire) == layout::make_ring_word(target.incarnation, layout::kRingInUse);
      };
      if (!is_still()) return ring::Push::Stale;
      if (memory::evict_oldest(stage_.chunks(), target.ring, tail, target.incarnation, stage_.fabric.block(target.agent)) == memory::Evict::Stuck) {
        return ring::Push::Full;
      }
      tail = target.ring.find_tail(target.incarnation);
    } else if (ways_.blocks) {
      tail = wait_for_room(target);
    } else {
      return ring::Push::Full;
    }
  }
  return ring::Push::Full;
}

void Publisher::ring(Target& target) {
  if (!ways_.rings) return;
  if (ring::needs_ring(target.doorbell->load(std::memory_order_relaxed), target.last_rung)) {
    ring::ring_doorbell(*target.doorbell, target.last_rung);
  }
}

bool Publisher::send(uint32_t id) {
  Record& record = stage_.records[id];
  const auto root = heap_.loan(ways_.class_index);
  if (!root) {
    note(3);
    return false;
  }
  detail::Links links;
  const auto give_up = [&] {
    detail::abort_links(heap_, links);
    memory::abort_loan(*root->header, root->generation);
    heap_.aborted(*root);
    note(4);
    return false;
  };
  for (uint32_t i = 0; i < ways_.link_count; ++i) {
    const auto link = heap_.loan(ways_.class_index);
    if (!link) return give_up();
    link->header->role = layout::ChunkRole::Continuation;
    link->header->flags = 0;
    link->header->link = 0;
    write_payload(*link->header, id);
    links.push_back(*link);
  }
  layout::ChunkHeader& header = *root->header;
  header.role = layout::ChunkRole::Root;
  header.flags = 0;
  header.link = 0;
  header.root = 0;
  write_payload(header, id);
  // Room, then the header, then the names.
  std::vector<std::pair<Target*, ring::Tail>> found;
  for (Target& target : targets_) {
    ring::Tail tail = look_for_room(target);
    if (tail.outcome == ring::Push::Full && ways_.blocks) tail = wait_for_room(target);
    if (tail.outcome == ring::Push::Ok || (tail.outcome == ring::Push::Full && ways_.drops_oldest)) found.emplace_back(&target, tail);
  }
  if (found.empty()) return give_up();
  const uint64_t sequence = row_.sequence.load(std::memory_order_relaxed) + 1;
  header.sequence = sequence;
  header.topic_id = kTopic;
  header.priority = static_cast<uint8_t>(kLane) & 15;
  header.source = stage_.fabric.name(agent_);
  header.publisher_row = 0;
  std::vector<uint32_t> names;
  std::vector<detail::Delivery> deliveries;
  record.is_begun = true;
  record.publisher = agent_;
  for (uint32_t i = 0; i < found.size(); ++i) {
    names.push_back(found[i].first->name);
    deliveries.push_back({i, 0, 0});
    record.named |= 1u << found[i].first->agent;
  }
  note((uint64_t{5} << 32) | record.named);
  const auto bits = detail::name_receivers(heap_, *root, names, deliveries, links);
  if (!bits) return give_up();
  if (!links.empty()) detail::chain_links(*root, links);
  // The intent, the commit, the pushes, the bells, the sequence, the intent's end.
  intent_.generation.store(root->generation, std::memory_order_relaxed);
  intent_.sequence.store(sequence, std::memory_order_relaxed);
  intent_.row.store(0, std::memory_order_relaxed);
  intent_.root.store(root->reference(), std::memory_order_release);
  memory::commit(header, *bits);
  for (std::size_t i = 0; i < found.size(); ++i) {
    Target& target = *found[i].first;
    if (push(target, found[i].second, deliveries[i]) == ring::Push::Ok) {
      record.reached |= 1u << target.agent;
    } else {
      (void)memory::release(stage_.chunks(), deliveries[i].reference, deliveries[i].bit);
    }
  }
  for (Target& target : targets_) ring(target);
  row_.sequence.store(sequence, std::memory_order_release);
  intent_.root.store(0, std::memory_order_release);
  heap_.sent(*root);
  for (const memory::Loaned& link : links) heap_.sent(link);
  record.has_returned = true;
  note((uint64_t{6} << 32) | record.reached);
  return true;
}

// --- a taker -----------------------------------------------------------------------------------------------------

namespace {

detail::Source source_of(Stage& stage, uint32_t agent, uint32_t ring_id, bool is_shared) {
  layout::AgentBlock& block = stage.fabric.block(agent);
  if (ring_id == 0) return {stage.fabric.lane(agent, kLane), stage.fabric.incarnation(agent), block.back, kLane, is_shared, false};
  const auto queue = stage.fabric.map().queue(ring_id);
  return {queue->ring, queue->incarnation, queue->block->back, 0, is_shared, true};
}

}  // namespace

Taker::Taker(Stage& stage, uint32_t agent, uint32_t ring_id, bool is_shared)
    : stage_(stage), agent_(agent), block_(stage.fabric.block(agent)), source_(source_of(stage, agent, ring_id, is_shared)) {}

uint32_t Taker::take() {
  for (;;) {
    uint64_t position = 0;
    ring::SlotView slot{0, 0};
    switch (source_.next(position, slot, agent_)) {
      case detail::Source::Look::Nothing: return 0;
      case detail::Source::Look::InTheWay: {
        const auto oldest = std::find_if(in_hand_.begin(), in_hand_.end(), [&](const InHand& each) {
          return each.position == source_.oldest() && !each.held;
        });
        if (oldest == in_hand_.end()) {
          source_.look_behind();
          continue;
        }
        if (memory::hold(stage_.chunks(), block_, oldest->slot) < 0) return 0;
        oldest->held = true;
        (void)source_.give_back(oldest->position, oldest->slot);
        continue;
      }
      case detail::Source::Look::Found: break;
    }
    const layout::SlotState state = layout::unpack(slot.state);
    layout::ChunkHeader* header = stage_.chunks().find(layout::reference_chunk(slot.low));
    const memory::Holders holders = header == nullptr ? memory::Holders{0, 0} : memory::read_holders(*header);
    if (header == nullptr || !layout::same_generation(slot.low, holders.generation) || ((holders.bits >> state.bit) & 1) == 0) {
      (void)memory::release(stage_.chunks(), slot.low, state.bit);
      (void)source_.give_back(position, slot);
      continue;
    }
    const uint32_t id = read_payload(*header);
    bool is_whole = id != 0;
    if ((header->flags & layout::kFlagLinked) != 0) {
      layout::ChunkHeader* link = stage_.chunks().find(layout::reference_chunk(header->link));
      is_whole = is_whole && link != nullptr && layout::same_generation(header->link, memory::read_holders(*link).generation) &&
                 (link->role != layout::ChunkRole::Continuation || read_payload(*link) == id);
    }
    stage_.took(agent_, is_whole ? id : 0);
    in_hand_.push_back({slot.low, holders.generation, state.bit, position, slot, id});
    return id;
  }
}

void Taker::release() {
  const InHand one = in_hand_.front();
  in_hand_.erase(in_hand_.begin());
  layout::ChunkHeader* header = stage_.chunks().find(layout::reference_chunk(one.reference));
  if (read_payload(*header) != one.id) stage_.took(agent_, 0);  // It changed in our hands.
  // Nobody else may have let it go.
  if (memory::release_seen(stage_.chunks(), one.reference, one.generation, one.bit) == memory::Release::Gone) stage_.took(agent_, 0);
  stage_.released(agent_, one.id);
  if (!one.held && source_.give_back(one.position, one.slot)) return;
  memory::unhold(block_, one.reference, one.bit);
}

void Taker::take_and_release(uint32_t count) {
  for (uint32_t taken = 0; taken < count;) {
    const uint64_t seen = changes();
    if (take() == 0) {
      await_change(seen);
      continue;
    }
    release();
    ++taken;
  }
}

void Taker::sleep_and_take(uint32_t count) {
  ring::Sleeper sleeper(block_.front.doorbell);
  for (uint32_t taken = 0; taken < count;) {
    uint32_t id = take();
    if (id == 0) {
      sleeper.arm();
      id = take();
      if (id == 0) sleeper.wait(0);
      sleeper.disarm();
    }
    if (id == 0) continue;
    release();
    ++taken;
  }
}

}  // namespace ripstop::explorer
