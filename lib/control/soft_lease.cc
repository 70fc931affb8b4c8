// Edges.  R(late) -> A(late)        as in memory/late.cc.
//         R(release) -> A(release)  as in memory/holders.h: the holders change.
#include "control/soft_lease.h"

#include <algorithm>
#include <cstring>

#include "control/message_copy.h"
#include "memory/holders.h"
#include "memory/late.h"

namespace ripstop::control {

namespace {

// Control calls wait for a look: what is left goes on at the next one.
constexpr std::size_t kRevokedPerLook = 64;
constexpr uint32_t kCopyBit = 0;

base::AtomicPair* find_room(layout::AgentBlock& block) noexcept {
  for (base::AtomicPair& place : block.late) {
    if (memory::read_late(place).reference == 0) return &place;
  }
  return nullptr;
}

// The agent may change the entry once, from under us.
template <class Change>
void change(base::AtomicPair& place, Change to) noexcept {
  memory::LateEntry entry = memory::read_late(place);
  for (int tries = 0; tries < 4 && entry.reference != 0; ++tries) {
    if (place.compare_exchange(entry.pair, to(entry.word, entry.pair))) return;  // R(late)
    entry = memory::read_late(place);
  }
}

void remove(base::AtomicPair& place) noexcept {
  change(place, [](const layout::LateWord&, const base::Pair&) { return base::Pair{0, 0}; });
}

void close(base::AtomicPair& place) noexcept {
  change(place, [](layout::LateWord word, const base::Pair& pair) {
    word.open = false;
    word.copy = 0;
    return base::Pair{pair.low, layout::pack(word)};
  });
}

}  // namespace

std::optional<uint32_t> SoftLease::unused_late_bit(layout::Reference reference) const {
  const uint64_t bits = memory::read_holders(*map_.chunks().find(layout::reference_chunk(reference))).bits;
  uint64_t used = bits & layout::kLateHolds;
  // Also what an entry names and the holders do not: whoever gives it back may be stopped in the middle of that.
  for (uint32_t id = 1; id < map_.agent_capacity(); ++id) {
    const layout::AgentBlock* block = map_.block(id);
    if (block == nullptr) continue;
    for (const base::AtomicPair& place : block->late) {
      const memory::LateEntry entry = memory::read_late(place);
      if (entry.reference == reference) used |= uint64_t{1} << entry.word.late_bit;
    }
  }
  for (uint32_t bit = layout::kLateBitFirst; bit < layout::kLateBitFirst + layout::kLateBitCount; ++bit) {
    if (((used >> bit) & 1) == 0) return bit;
  }
  return std::nullopt;
}

bool SoftLease::exchange(const Delivery& delivery, uint32_t late_bit) noexcept {
  layout::ChunkHeader& header = *map_.chunks().find(layout::reference_chunk(delivery.reference));
  memory::Holders holders = memory::read_holders(header);
  const uint64_t mine = uint64_t{1} << delivery.bit;
  // As often as others release: each of them once.
  for (uint32_t tries = 0; tries < 1u << 16; ++tries) {
    if (!layout::same_generation(delivery.reference, holders.generation) || (holders.bits & mine) == 0) return false;
    base::Pair expected{holders.generation, holders.bits};
    const base::Pair desired{holders.generation, (holders.bits & ~mine) | uint64_t{1} << late_bit};
    if (header.holders.compare_exchange(expected, desired)) return true;  // R(release)
    holders = {expected.low, expected.high};
  }
  return false;
}

void SoftLease::send_on(layout::ChunkHeader& copy, uint32_t letter, base::AtomicPair& entry) {
  memory::commit(copy, uint64_t{1} << kCopyBit);
  close(entry);
  letters_.send_on(letter);
}

bool SoftLease::revoke(const InHand& in_hand, const SoftLeasePolicy& policy, const FindDestination& find_destination,
                       memory::SlabHeap& heap, Revoked& revoked) {
  const Delivery& delivery = in_hand.delivery;
  const memory::ChunkMap& chunks = map_.chunks();
  const layout::Reference root = root_reference(map_, delivery.reference);
  layout::AgentBlock& block = *map_.block(in_hand.agent_id);
  base::AtomicPair* entry = find_room(block);
  const auto late_bit = unused_late_bit(delivery.reference);
  if (root == 0 || entry == nullptr || !late_bit) return false;

  const layout::ChunkHeader& message = *chunks.find(layout::reference_chunk(root));
  const uint32_t topic_id = message.topic_id;
  const uint32_t handed_to = letters_.handed_to(delivery);
  const uint32_t receiver = handed_to != 0 ? handed_to : in_hand.receiver;
  auto to = delivery.attempt < policy.requeue_count ? find_destination(in_hand.agent_id, topic_id, receiver) : std::nullopt;
  // A full ring refuses it: others have come since.
  if (to && !has_room(map_, receiver, std::min<std::size_t>(message.priority, layout::kLaneCount - 1))) to.reset();
  if (!to && !letters_.policy().keeps) return false;  // What it has in hand is the last of it.

  const auto copy = copy_message(chunks, heap, root, receiver);
  if (!copy) return false;
  const layout::AgentEntry& agent = *map_.agent_entry(in_hand.agent_id);
  DeadLetters::Address address;
  address.name = {agent.name, strnlen(agent.name, sizeof agent.name)};
  address.reason = layout::LetterReason::Overdue;
  if (to) address.place = to->place;
  const auto letter = letters_.announce({copy->root.reference(), kCopyBit, delivery.attempt + (to ? 1 : 0)}, address, to ? &*to : nullptr);
  const auto give_up = [&] {
    if (letter) letters_.withdraw(*letter);
    abort_copy(chunks, heap, *copy);
    return false;
  };
  if (!letter) return give_up();

  base::Pair none{0, 0};
  const base::Pair open{delivery.reference, layout::pack(layout::LateWord{copy->root.chunk, delivery.bit, *late_bit, false, true})};
  if (!entry->compare_exchange(none, open)) return give_up();  // R(late). Failing: somebody scribbles.
  if (!exchange(delivery, *late_bit)) {
    remove(*entry);
    return give_up();
  }
  super_.revoked_messages.fetch_add(1, std::memory_order_relaxed);  // A counter.
  revoked = {in_hand.agent_id, copy->root.header->topic_id, copy->root.header->sequence, to.has_value()};
  send_on(*copy->root.header, *letter, *entry);
  copy_sent(heap, *copy);
  return true;
}

std::vector<Revoked> SoftLease::look(uint64_t now_ns, const SoftLeasePolicy& policy, const FindDestination& find_destination) {
  std::vector<Revoked> all;
  std::vector<std::vector<Seen>> before(seen_.size());
  std::swap(before, seen_);
  remove_settled();
  std::optional<memory::SlabHeap> heap;
  for (const InHand& in_hand : list_in_hand(map_)) {
    const Delivery& delivery = in_hand.delivery;
    const std::vector<Seen>& known = before[in_hand.agent_id];
    // Reference and bit name a delivery once and for all.
    const auto found = std::find_if(known.begin(), known.end(), [&](const Seen& seen) {
      return seen.reference == delivery.reference && seen.bit == delivery.bit;
    });
    const uint64_t since_ns = found == known.end() ? now_ns : found->since_ns;
    if (now_ns - since_ns >= policy.lease_ns && all.size() < kRevokedPerLook) {
      if (!heap) heap.emplace(map_.chunks(), layout::chunk_node(layout::reference_chunk(delivery.reference)), layout::kOwnerSupervisor, 0);
      Revoked revoked{};
      if (revoke(in_hand, policy, find_destination, *heap, revoked)) {
        all.push_back(revoked);
        continue;
      }
    }
    seen_[in_hand.agent_id].push_back({delivery.reference, delivery.bit, since_ns});
  }
  return all;
}

// Entries whose late bit has been given back, by an agent that was stopped before it could remove them.
void SoftLease::remove_settled() noexcept {
  // A(directory)
  const uint32_t high = std::min(map_.superblock().agent_high.load(std::memory_order_acquire), map_.agent_capacity());
  for (uint32_t id = 1; id < high; ++id) {
    layout::AgentBlock* block = map_.block(id);
    if (block == nullptr) continue;
    for (base::AtomicPair& place : block->late) {
      const memory::LateEntry entry = memory::read_late(place);
      if (entry.reference != 0 && !memory::holds_late(map_.chunks(), entry)) remove(place);
    }
  }
}

void SoftLease::finish_entry(base::AtomicPair& place) {
  const memory::LateEntry entry = memory::read_late(place);
  if (entry.reference == 0 || !entry.word.open) return;
  const bool is_committed = entry.word.returned || memory::holds_late(map_.chunks(), entry);
  if (!is_committed) return remove(place);  // The copy is given back with the slab.
  layout::ChunkHeader* copy = map_.chunks().find(entry.word.copy);
  if (copy != nullptr) {
    const memory::Holders holders = memory::read_holders(*copy);
    const auto letter = letters_.find({layout::make_reference(entry.word.copy, holders.generation), kCopyBit});
    const layout::SlabOwner& owner = map_.chunks().slab_owner(layout::chunk_node(entry.word.copy), layout::chunk_slab(entry.word.copy));
    // A(slab)
    const bool is_ours = layout::slab_owner_agent(owner.load(std::memory_order_acquire)) == layout::kOwnerSupervisor;
    if (is_ours && holders.bits == layout::kPublisherHold && letter) return send_on(*copy, *letter, place);
  }
  close(place);  // It was committed; DeadLetters::finish() makes the push that is missing.
}

void SoftLease::finish() {
  for (uint32_t id = 1; id < map_.agent_capacity(); ++id) {
    layout::AgentBlock* block = map_.block(id);
    if (block == nullptr) continue;
    for (base::AtomicPair& place : block->late) finish_entry(place);
  }
  for (const uint32_t letter : letters_.announced()) letters_.withdraw(letter);
  Settled settled;
  settlement_.settle_slabs(layout::kOwnerSupervisor, 0, settled);
}

}  // namespace ripstop::control
