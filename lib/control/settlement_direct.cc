// Direct lanes of the dead (agent/direct_lane.h). A lane has no slots: what was sent and not released
// is what the chunks of its slab say, each by its holders and by the marks of its header.
#include <algorithm>
#include <bit>
#include <vector>

#include "control/direct_slab.h"
#include "control/settlement.h"
#include "ring/space.h"

namespace ripstop::control {

using layout::DirectState;

namespace {

constexpr uint64_t kDirectBits = layout::kDeliveryHolds &
                                 ~((uint64_t{1} << (layout::kDirectBitFirst + 1 - layout::kDirectMembersMax)) - 1);

}  // namespace

void Settlement::give_up_direct(const DirectEntry& entry, const Estate& estate, Settled& settled) noexcept {
  const bool exists = for_each_direct(map_.chunks(), entry, [&](layout::ChunkId chunk, const DirectCopy& copy) {
    if (!control::has_bit(copy, entry.word.bit)) return;
    const Delivery delivery{layout::make_reference(chunk, copy.holders.generation), entry.word.bit};
    const bool was_there = letters_ != nullptr
                               ? letters_->take_from_lane(delivery, estate)
                               : memory::release(map_.chunks(), delivery.reference, delivery.bit) != memory::Release::Gone;
    if (was_there) ++settled.message_count;
  });
  if (!exists) ++settled.corrupt_count;
}

void Settlement::note_direct_send(layout::AgentBlock& block, const layout::SenderIntent& intent) noexcept {
  if ((intent.direct_count.load(std::memory_order_acquire) & 1) == 0) return;  // A(intent)
  // Relaxed, here and below: the load above acquired them, and their writer is dead.
  const layout::Reference reference = intent.direct_root.load(std::memory_order_relaxed);
  const layout::ChunkHeader* root = map_.chunks().find(layout::reference_chunk(reference));
  const uint32_t row = intent.row.load(std::memory_order_relaxed);
  if (root == nullptr || row >= layout::kPublisherRows) return;
  // {g,0} until the commit; afterwards it has bits or another generation.
  const memory::Holders holders = memory::read_holders(*root);
  if (layout::same_generation(reference, holders.generation) && holders.bits == 0) return;
  const uint64_t committed = intent.sequence.load(std::memory_order_relaxed);
  std::atomic<uint64_t>& sequence = block.publishers[row].sequence;
  if (sequence.load(std::memory_order_relaxed) < committed) sequence.store(committed, std::memory_order_release);  // R(sequence)
}

void Settlement::release_unclaimed(uint32_t agent_id, uint64_t incarnation, const layout::AgentBlock& block,
                                   Settled& settled) noexcept {
  const memory::ChunkMap& chunks = map_.chunks();
  const uint32_t source = layout::make_receiver(agent_id, incarnation);
  struct Claim {
    uint32_t slab;
    uint32_t row;
    uint64_t bits;
  };
  std::vector<Claim> claims;
  for (uint32_t receiver = 1; receiver < map_.agent_capacity(); ++receiver) {
    const layout::AgentBlock* other = map_.block(receiver);
    if (other == nullptr) continue;
    for (const base::AtomicPair& place : other->direct) {
      const DirectEntry entry = read_direct(place);
      if (entry.word.state == DirectState::Free || entry.source != source) continue;
      claims.push_back({entry.word.slab, entry.word.row, uint64_t{1} << entry.word.bit});
    }
  }
  const auto look_at = [&](layout::ChunkId chunk) {
    const layout::ChunkHeader* header = chunks.find(chunk);
    if (header == nullptr) return;
    const DirectCopy copy = copy_direct(*header);
    if (!copy.direct || copy.source != source) return;
    uint64_t unclaimed = copy.holders.bits & kDirectBits;
    for (const Claim& claim : claims) {
      if (claim.slab == chunk >> layout::kSlabIndexBits && claim.row == copy.row) unclaimed &= ~claim.bits;
    }
    for (; unclaimed != 0; unclaimed &= unclaimed - 1) {
      const auto bit = static_cast<uint32_t>(std::countr_zero(unclaimed));
      const layout::Reference reference = layout::make_reference(chunk, copy.holders.generation);
      if (memory::release(chunks, reference, bit) != memory::Release::Gone) ++settled.message_count;
    }
  };
  for (uint32_t node = 0; node < chunks.node_count(); ++node) {
    for (uint32_t slab = 0; slab < chunks.slab_count(node); ++slab) {
      const uint64_t word = chunks.slab_owner(node, slab).load(std::memory_order_acquire);  // A(slab)
      if (layout::slab_owner_agent(word) != agent_id || layout::slab_owner_incarnation(word) != (incarnation & 0x3ffffff)) continue;
      for (uint32_t index = 0; index < chunks.slab(node, slab).chunk_count; ++index) {
        look_at(layout::make_chunk_id(node, slab, index));
      }
    }
  }
  for (const layout::SenderIntent& intent : block.senders) {
    // The lane may have been closed since, and its slab given back. Relaxed: its writer is dead.
    const layout::Reference reference = intent.direct_root.load(std::memory_order_relaxed);
    if (reference != 0) look_at(layout::reference_chunk(reference));
  }
}

void Settlement::end_direct(uint32_t agent_id, uint64_t incarnation, layout::AgentBlock& block, Settled& settled) noexcept {
  release_unclaimed(agent_id, incarnation, block, settled);
  for (const layout::SenderIntent& intent : block.senders) note_direct_send(block, intent);
  const uint32_t source = layout::make_receiver(agent_id, incarnation);
  for (uint32_t receiver = 1; receiver < map_.agent_capacity(); ++receiver) {
    layout::AgentBlock* other = map_.block(receiver);
    if (other == nullptr) continue;
    for (base::AtomicPair& place : other->direct) {
      DirectEntry entry = read_direct(place);
      if (entry.word.state != DirectState::Open || entry.source != source) continue;
      layout::DirectWord word = entry.word;
      word.state = DirectState::Ended;
      // R(direct). Failure: the receiver died meanwhile and was settled.
      if (!place.compare_exchange(entry.pair, {layout::pack(word), entry.pair.high})) continue;
      other->front.direct_version.fetch_add(1, std::memory_order_acq_rel);  // R(direct)
    }
  }
}

void Settlement::settle_direct(uint32_t agent_id, uint64_t incarnation, layout::AgentBlock& block, const Estate& estate,
                               Settled& settled) noexcept {
  // The route's epoch has moved: after the fence every publisher either has its commit seen below or
  // sees the epoch and takes the message back itself.
  const auto in_use = [](const base::AtomicPair& entry) { return read_direct(entry).pair.low != 0; };
  if (std::any_of(std::begin(block.direct), std::end(block.direct), in_use)) (void)ring::heavy_fence();
  for (base::AtomicPair& place : block.direct) {
    // Bounded: a publisher that offers again and again resolves its route after each offer.
    for (uint32_t tries = 0; tries < 64; ++tries) {
      DirectEntry entry = read_direct(place);
      if (entry.pair.low == 0 && entry.pair.high == 0) break;
      give_up_direct(entry, at_place(estate, layout::kLetterInbox), settled);
      if (place.compare_exchange(entry.pair, {0, 0})) break;  // R(direct)
    }
  }
  end_direct(agent_id, incarnation, block, settled);
}

bool Settlement::has_direct_mail(const layout::AgentBlock& block) const noexcept {
  for (const base::AtomicPair& place : block.direct) {
    const DirectEntry entry = read_direct(place);
    if (entry.word.state == DirectState::Free) continue;
    bool found = false;
    (void)for_each_direct(map_.chunks(), entry, [&](layout::ChunkId, const DirectCopy& copy) {
      found = found || control::has_bit(copy, entry.word.bit);
    });
    if (found) return true;
  }
  return false;
}

}  // namespace ripstop::control
