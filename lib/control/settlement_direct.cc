// Direct lanes of the dead (agent/direct_lane.h). A lane has no slots: what was sent and not released
// is what the chunks of its slab say, each by its holders and by the marks of its header.
#include <algorithm>

#include "control/settlement.h"
#include "memory/holders.h"
#include "ring/space.h"

namespace ripstop::control {

namespace {

using layout::ChunkHeader;
using layout::DirectState;

// A chunk's header as it is at one moment, as far as a lane needs it. Its writer may be alive: what is
// copied counts only for a swap that finds the holders of the copy.
struct Copy {
  memory::Holders holders;
  uint64_t sequence;
  uint32_t source;
  uint8_t row;
  bool direct;
};

__attribute__((no_sanitize("thread"))) Copy copy(const ChunkHeader& header) noexcept {
  Copy copy{memory::read_holders(header), 0, 0, 0, false};
  copy.sequence = header.sequence;
  copy.source = header.source;
  copy.row = header.publisher_row;
  copy.direct = (header.flags & layout::kFlagDirect) != 0;
  std::atomic_thread_fence(std::memory_order_acquire);  // A(*): copied before whatever validates it.
  return copy;
}

// Calls `visit(chunk number, copy)` for every chunk of the entry's slab. False when there is no such slab.
template <class Visit>
bool for_each_chunk(const memory::ChunkMap& chunks, const layout::DirectWord& word, Visit visit) noexcept {
  const auto first = static_cast<layout::ChunkId>(word.slab << layout::kSlabIndexBits);
  if (chunks.find(first) == nullptr) return false;
  for (uint32_t index = 0; index < chunks.slab_of(first).chunk_count; ++index) {
    const ChunkHeader* header = chunks.find(first | index);
    if (header != nullptr) visit(first | index, copy(*header));
  }
  return true;
}

base::Pair read(const base::AtomicPair& entry) noexcept {
  // A(direct). Halves of two lives make no harm: each use below compares the marks of the chunks.
  const uint64_t low = entry.low.load(std::memory_order_acquire);
  return {low, entry.high.load(std::memory_order_acquire)};  // A(direct)
}

}  // namespace

void Settlement::release_direct(base::Pair entry, Settled& settled) noexcept {
  const layout::DirectWord word = layout::unpack_direct(entry.low);
  const auto source = static_cast<uint32_t>(entry.high);
  const bool exists = for_each_chunk(map_.chunks(), word, [&](layout::ChunkId chunk, const Copy& copy) {
    if (!copy.direct || copy.source != source || copy.row != word.row || ((copy.holders.bits >> word.bit) & 1) == 0) return;
    const layout::Reference reference = layout::make_reference(chunk, copy.holders.generation);
    if (memory::release(map_.chunks(), reference, word.bit) != memory::Release::Gone) ++settled.message_count;
  });
  if (!exists || word.bit >= layout::kDeliveryCount) ++settled.corrupt_count;
}

void Settlement::end_direct(uint32_t agent_id, uint64_t incarnation, layout::AgentBlock& block) noexcept {
  const uint32_t source = layout::make_receiver(agent_id, incarnation);
  for (uint32_t receiver = 1; receiver < map_.agent_capacity(); ++receiver) {
    layout::AgentBlock* other = map_.block(receiver);
    if (other == nullptr) continue;
    for (base::AtomicPair& entry : other->direct) {
      base::Pair pair = read(entry);
      layout::DirectWord word = layout::unpack_direct(pair.low);
      if (word.state != DirectState::Open || static_cast<uint32_t>(pair.high) != source) continue;
      // A send stores its row's sequence after the commit: here the chunks know better.
      (void)for_each_chunk(map_.chunks(), word, [&](layout::ChunkId, const Copy& copy) {
        if (!copy.direct || copy.source != source || copy.row != word.row || copy.holders.bits == layout::kPublisherHold) return;
        std::atomic<uint64_t>& sequence = block.publishers[word.row].sequence;
        // Relaxed: its writer is dead.
        if (sequence.load(std::memory_order_relaxed) < copy.sequence) sequence.store(copy.sequence, std::memory_order_release);  // R(sequence)
      });
      word.state = DirectState::Ended;
      // R(direct). Failure: the receiver died meanwhile and was settled.
      if (!entry.compare_exchange(pair, {layout::pack(word), pair.high})) continue;
      other->front.direct_version.fetch_add(1, std::memory_order_acq_rel);  // R(direct)
    }
  }
}

void Settlement::settle_direct(uint32_t agent_id, uint64_t incarnation, layout::AgentBlock& block,
                               Settled& settled) noexcept {
  // The route's epoch has moved: after the fence every publisher either has its commit seen below or
  // sees the epoch and takes the message back itself.
  const auto in_use = [](const base::AtomicPair& entry) { return read(entry).low != 0; };
  if (std::any_of(std::begin(block.direct), std::end(block.direct), in_use)) (void)ring::heavy_fence();
  for (base::AtomicPair& entry : block.direct) {
    // Bounded: a publisher that offers again and again resolves its route after each offer.
    for (uint32_t tries = 0; tries < 64; ++tries) {
      base::Pair pair = read(entry);
      if (pair.low == 0 && pair.high == 0) break;
      release_direct(pair, settled);
      if (entry.compare_exchange(pair, {0, 0})) break;  // R(direct)
    }
  }
  end_direct(agent_id, incarnation, block);
}

bool Settlement::has_direct_mail(const layout::AgentBlock& block) const noexcept {
  for (const base::AtomicPair& entry : block.direct) {
    const base::Pair pair = read(entry);
    const layout::DirectWord word = layout::unpack_direct(pair.low);
    if (word.state == DirectState::Free) continue;
    bool found = false;
    (void)for_each_chunk(map_.chunks(), word, [&](layout::ChunkId, const Copy& copy) {
      found = found || (copy.direct && copy.source == static_cast<uint32_t>(pair.high) && copy.row == word.row &&
                        ((copy.holders.bits >> word.bit) & 1) != 0);
    });
    if (found) return true;
  }
  return false;
}

}  // namespace ripstop::control
