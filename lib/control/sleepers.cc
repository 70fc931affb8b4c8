// Order of a look: the word, to skip who is awake; the tails; the word again. The second word is the
// one that counts. When it shows a new sleep, the tails of the look before were read before the older
// word of that look, and so before the sleeper armed: its last look has seen all of them.
//
// Edges.  A(bell), A(slot), A(intent), A(message), A(room), A(directory): the other ends are where these words are written.
#include "control/sleepers.h"

#include <algorithm>

#include "control/direct_slab.h"
#include "ring/doorbell.h"

namespace ripstop::control {

namespace {


// Marks of several tails are added up, so each must be unlike any other's.
uint64_t mixed(uint64_t value) noexcept {
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93u;
  value ^= value >> 32;
  value *= 0xd6e8feb86659fd93u;
  return value ^ (value >> 32);
}

bool has_mail(const ring::MpmcRing& ring, uint64_t head, uint64_t tail) noexcept {
  if (tail - head > ring.slot_count()) head = tail - ring.slot_count();
  for (uint64_t at = head; at != tail; ++at) {
    const uint64_t state = ring.read(at).state;
    if (layout::word_phase(state) == layout::Phase::Full && layout::word_turn(state) == ring.turn(at)) return true;
  }
  return false;
}

}  // namespace

uint32_t Sleepers::agent_high() const noexcept {
  // A(directory)
  return std::min(map_.superblock().agent_high.load(std::memory_order_acquire), map_.agent_capacity());
}

uint32_t Sleepers::ring_high() const noexcept {
  return map_.superblock().ring_high.load(std::memory_order_acquire);  // A(directory). ring_entry() bounds it.
}

bool Sleepers::is_live(uint32_t agent_id) const noexcept {
  const uint64_t word = map_.agent_entry(agent_id)->word.load(std::memory_order_acquire);  // A(directory)
  return layout::agent_word_state(word) == layout::AgentState::Live && map_.block(agent_id) != nullptr;
}

void Sleepers::look(Seen& seen, const ring::MpmcRing& ring, uint64_t incarnation, uint32_t ring_id,
                    uint64_t head) const noexcept {
  const uint64_t tail = ring.find_tail(incarnation).position;
  seen.tails += mixed(tail + (uint64_t{ring_id} << 40) + 1);
  seen.has_mail = seen.has_mail || has_mail(ring, head, tail);
}

// A direct lane has no tail; the sum of generations and of our bits stands for it: a commit to us moves
// it by one, and the last release leaves it, because it moves the generation as it takes the bit.
void Sleepers::look_direct(Seen& seen, const layout::AgentBlock& block) const noexcept {
  for (std::size_t i = 0; i < layout::kDirectCount; ++i) {
    const DirectEntry entry = read_direct(block.direct[i]);
    if (entry.word.state == layout::DirectState::Free) continue;
    uint64_t sum = 0;
    (void)for_each_direct(map_.chunks(), entry, [&](layout::ChunkId, const DirectCopy& copy) {
      const bool ours = has_bit(copy, entry.word.bit);
      sum += copy.holders.generation + (ours ? 1 : 0);
      seen.has_mail = seen.has_mail || ours;
    });
    seen.tails += mixed(mixed(entry.pair.low + i) + sum);
  }
}

bool Sleepers::ring_one(uint32_t agent_id, Seen& seen) noexcept {
  std::atomic<uint32_t>& bell = map_.block(agent_id)->front.doorbell;
  const uint32_t word = bell.load(std::memory_order_acquire);  // A(bell)
  const uint32_t sleep = word & ~layout::kDoorbellRung;
  if ((word & layout::kDoorbellArmed) == 0) return false;
  if (sleep != seen.sleep) {
    seen.sleep = sleep;
    seen.known = seen.pushed;
  }
  seen.pushed = seen.tails;
  if (!seen.has_mail) seen.known = seen.tails;
  if (seen.tails == seen.known || seen.rung_sleep == sleep) return false;
  seen.rung_sleep = sleep;
  uint32_t last_rung = 0;
  return ring::ring_doorbell(bell, last_rung);
}

template <class Visit>
void Sleepers::for_each_channel(Visit visit) const noexcept {
  const uint32_t rings = ring_high();
  for (uint32_t ring_id = 1; ring_id < rings; ++ring_id) {
    const layout::RingEntry* entry = map_.ring_entry(ring_id);
    if (entry == nullptr) return;
    if ((entry->word.load(std::memory_order_acquire) & 3) != layout::kRingInUse) continue;  // A(directory)
    if (const auto channel = map_.channel(ring_id)) visit(ring_id, *entry, *channel);
  }
}

uint32_t Sleepers::ring() { return ring_inboxes() + ring_channels(); }

// Who sleeps at a channel has taken all there was: what is there now he has not seen. Each sleep is rung for once:
// one that is stopped itself would else keep the tick going.
uint32_t Sleepers::ring_channels() noexcept {
  uint32_t rung_count = 0;
  for_each_channel([&](uint32_t ring_id, const layout::RingEntry&, const FabricMap::Channel& channel) {
    layout::ChannelHeader& header = *channel.header;
    const uint64_t head = header.head.load(std::memory_order_acquire);  // A(room)
    const uint64_t tail = header.tail.load(std::memory_order_acquire);  // A(message)
    const auto& slot = *reinterpret_cast<const layout::ChannelSlot*>(channel.slots + (head & (channel.slot_count - 1)) * channel.slot_bytes);
    const bool has_mail = slot.sequence.load(std::memory_order_acquire) == head + 1;  // A(message)
    if (has_mail && ring::ring_doorbell(header.doorbell, rung_[ring_id].receiver)) ++rung_count;
    if (tail - head < channel.slot_count && ring::ring_doorbell(header.space_bell, rung_[ring_id].sender)) ++rung_count;
  });
  return rung_count;
}

uint32_t Sleepers::ring_inboxes() noexcept {
  const uint32_t high = agent_high();
  bool is_any_asleep = false;
  for (uint32_t id = 1; id < high; ++id) {
    Seen& seen = seen_[id];
    seen.asleep = false;
    if (!is_live(id)) continue;
    layout::AgentBlock& block = *map_.block(id);
    if ((block.front.doorbell.load(std::memory_order_acquire) & layout::kDoorbellArmed) == 0) continue;  // A(bell)
    const uint64_t agent_word = map_.agent_entry(id)->word.load(std::memory_order_acquire);  // A(directory)
    if (agent_word != seen.agent_word) {
      seen = {};
      seen.agent_word = agent_word;
    }
    is_any_asleep = seen.asleep = true;
    seen.has_mail = false;
    seen.tails = 0;
    for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
      // Relaxed, here and below: a hint; a sleeper has emptied all below it.
      const uint64_t head = block.back.head_hint[lane].load(std::memory_order_relaxed);
      look(seen, map_.lane(block, lane), layout::agent_word_incarnation(agent_word), static_cast<uint32_t>(lane), head);
    }
    look_direct(seen, block);
  }
  if (!is_any_asleep) return 0;
  const uint32_t rings = ring_high();
  for (uint32_t ring_id = 1; ring_id < rings; ++ring_id) {
    const layout::RingEntry* entry = map_.ring_entry(ring_id);
    if (entry == nullptr) break;
    if ((entry->word.load(std::memory_order_acquire) & 3) != layout::kRingInUse) continue;  // A(directory)
    const uint32_t owner = entry->owner;
    if (owner >= high || !seen_[owner].asleep) continue;
    const auto queue = map_.queue(ring_id);
    if (!queue) continue;
    const uint64_t head = queue->block->back.head_hint[0].load(std::memory_order_relaxed);
    look(seen_[owner], queue->ring, queue->incarnation, static_cast<uint32_t>(layout::kLaneCount) + ring_id, head);
  }
  uint32_t rung_count = 0;
  for (uint32_t id = 1; id < high; ++id) {
    if (seen_[id].asleep && ring_one(id, seen_[id])) ++rung_count;
  }
  return rung_count;
}

bool Sleepers::is_anyone_sending() const noexcept {
  const uint32_t high = agent_high();
  for (uint32_t id = 1; id < high; ++id) {
    if (!is_live(id)) continue;
    for (const layout::SenderIntent& intent : map_.block(id)->senders) {
      if (intent.root.load(std::memory_order_acquire) != 0) return true;               // A(intent)
      if ((intent.direct_count.load(std::memory_order_acquire) & 1) != 0) return true;  // A(intent)
    }
  }
  bool any = false;
  const auto lives = [&](uint32_t agent_id) { return agent_id >= 1 && agent_id < high && is_live(agent_id); };
  for_each_channel([&](uint32_t, const layout::RingEntry& entry, const FabricMap::Channel& channel) {
    // A(intent), both.
    if (channel.header->sending.load(std::memory_order_acquire) != 0 && lives(entry.producer)) any = true;
    if (channel.header->releasing.load(std::memory_order_acquire) != 0 && lives(entry.owner)) any = true;  // A(intent)
  });
  return any;
}

uint64_t Sleepers::push_count() const noexcept {
  uint64_t count = 0;
  const uint32_t high = agent_high();
  for (uint32_t id = 1; id < high; ++id) {
    if (!is_live(id)) continue;
    for (const std::atomic<uint64_t>& tail : map_.block(id)->front.tail_hint) {
      count += tail.load(std::memory_order_relaxed);  // Relaxed, here and below: only whether it moves counts.
    }
    for (const layout::SenderIntent& intent : map_.block(id)->senders) {
      count += intent.direct_count.load(std::memory_order_relaxed);
    }
  }
  const uint32_t rings = ring_high();
  for (uint32_t ring_id = 1; ring_id < rings; ++ring_id) {
    const auto queue = map_.queue(ring_id);
    if (queue) count += queue->block->front.tail_hint[0].load(std::memory_order_relaxed);
  }
  for_each_channel([&](uint32_t, const layout::RingEntry&, const FabricMap::Channel& channel) {
    // Relaxed: as above.
    count += channel.header->tail.load(std::memory_order_relaxed) + channel.header->head.load(std::memory_order_relaxed);
  });
  return count;
}

}  // namespace ripstop::control
