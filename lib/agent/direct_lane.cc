#include "agent/direct_lane.h"

#include <algorithm>

#include "control/direct_slab.h"

namespace ripstop::detail {

namespace {

constexpr uint32_t kMuchRoom = 16;
// After waiting in vain: a receiver keeps its messages, or does not run.
constexpr uint32_t kHastySends = 256;

// Fewer would make a publisher wait for each message.
constexpr uint32_t kChunksMin = 8;

// A slab of a direct lane serves one topic; the rest of the class must do for all others.
constexpr uint32_t kSlabsKeptFree = 4;  // One in so many.

}  // namespace

bool DirectLane::may_wait() noexcept {
  if (loaned_) return false;
  if (hasty_count_ == 0) return true;
  --hasty_count_;
  return false;
}

bool DirectLane::has_much_room() noexcept {
  return memory::is_free(at((cursor_ + std::min(kMuchRoom, chunk_count_) - 1) % chunk_count_)) && has_room();
}

void DirectLane::waited_in_vain() noexcept { hasty_count_ = kHastySends; }

std::vector<uint32_t> DirectLane::busy_slabs() const {
  std::vector<uint32_t> busy;
  for (uint32_t agent_id = 1; agent_id < map_.agent_capacity(); ++agent_id) {
    const layout::AgentBlock* block = map_.block(agent_id);
    if (block == nullptr) continue;
    for (const base::AtomicPair& place : block->direct) {
      // An entry of ours is written by nobody else, but to be freed.
      const control::DirectEntry entry = control::read_direct(place);
      if (entry.word.state != layout::DirectState::Free && entry.source == publisher_.source) busy.push_back(entry.word.slab);
    }
  }
  return busy;
}

bool DirectLane::take_slab(uint32_t class_index) {
  const memory::ChunkMap& chunks = map_.chunks();
  const uint32_t node = publisher_.node;
  std::vector<uint32_t> free_slabs;
  std::size_t slab_count = 0;
  for (uint32_t slab = 0; slab < chunks.slab_count(node); ++slab) {
    const memory::SlabPlace& place = chunks.slab(node, slab);
    if (place.class_index != class_index || place.chunk_count < kChunksMin) continue;
    ++slab_count;
    // Relaxed: the swap below acquires.
    if (layout::slab_owner_agent(chunks.slab_owner(node, slab).load(std::memory_order_relaxed)) == 0) free_slabs.push_back(slab);
  }
  if (free_slabs.size() <= std::max<std::size_t>(1, slab_count / kSlabsKeptFree)) return false;
  const std::vector<uint32_t> busy = busy_slabs();
  for (const uint32_t slab : free_slabs) {
    const uint32_t first_chunk = layout::make_chunk_id(node, slab, 0);
    if (std::find(busy.begin(), busy.end(), first_chunk >> layout::kSlabIndexBits) != busy.end()) continue;
    layout::SlabOwner& owner = chunks.slab_owner(node, slab);
    uint64_t word = owner.load(std::memory_order_relaxed);  // Relaxed: the swap acquires.
    if (layout::slab_owner_agent(word) != 0) continue;
    const uint64_t ours =
        layout::make_slab_owner(layout::slab_owner_version(word) + 1, publisher_.agent_id, publisher_.incarnation);
    // A(slab): what the last owner knew. Failure: another agent was faster.
    if (!owner.compare_exchange_strong(word, ours, std::memory_order_acquire, std::memory_order_relaxed)) continue;
    const memory::SlabPlace& place = chunks.slab(node, slab);
    first_ = place.first;
    stride_bytes_ = place.stride_bytes;
    chunk_count_ = place.chunk_count;
    class_index_ = class_index;
    capacity_bytes_ = chunks.payload_bytes(class_index);
    first_chunk_ = first_chunk;
    owner_word_ = ours;
    bool all_free = true;
    for (uint32_t index = 0; index < chunk_count_ && all_free; ++index) all_free = memory::is_free(at(index));
    if (all_free) return true;
    give_slab_back();
  }
  return false;
}

void DirectLane::give_slab_back() noexcept {
  const uint32_t node = layout::chunk_node(first_chunk_);
  uint64_t word = owner_word_;
  // R(slab): what we knew of its chunks, to the next owner. Failure: recovery was here, it is not ours.
  (void)map_.chunks()
      .slab_owner(node, layout::chunk_slab(first_chunk_))
      .compare_exchange_strong(word, layout::make_slab_owner(layout::slab_owner_version(word) + 1, 0, 0),
                               std::memory_order_release, std::memory_order_relaxed);  // Relaxed: not used.
  first_chunk_ = ~uint32_t{0};
  first_ = nullptr;
}

bool DirectLane::offer(const Receiver& receiver, std::size_t member) {
  const base::Pair word{layout::pack(layout::DirectWord{cursor_, first_chunk_ >> layout::kSlabIndexBits, publisher_.row,
                                                        priority_, bit(member), layout::DirectState::Open}),
                        publisher_.source};
  for (base::AtomicPair& entry : receiver.block->direct) {
    base::Pair free{0, 0};
    if (!entry.compare_exchange(free, word)) continue;  // R(direct)
    members_.push_back({&entry, &receiver.block->front.direct_version, word});
    receiver.block->front.direct_version.fetch_add(1, std::memory_order_acq_rel);  // R(direct)
    return true;
  }
  return false;
}

void DirectLane::end_offers() noexcept {
  for (Member& member : members_) {
    layout::DirectWord word = layout::unpack_direct(member.word.low);
    word.state = layout::DirectState::Ended;
    base::Pair expected = member.word;
    // R(direct)
    if (member.entry->compare_exchange(expected, {layout::pack(word), member.word.high})) {
      member.version->fetch_add(1, std::memory_order_acq_rel);  // R(direct)
      continue;
    }
    // The member died and recovery has freed its entry. What we committed to it since is nobody's.
    const control::DirectEntry freed{word, publisher_.source, member.word};
    (void)control::for_each_direct(map_.chunks(), freed, [&](layout::ChunkId chunk, const control::DirectCopy& copy) {
      if (!control::has_bit(copy, word.bit)) return;
      (void)memory::release(map_.chunks(), layout::make_reference(chunk, copy.holders.generation), word.bit);
    });
  }
  members_.clear();
}

bool DirectLane::open(std::span<const Receiver> receivers, uint32_t priority, uint32_t class_index) {
  if (receivers.size() > layout::kDirectMembersMax || loaned_) return false;
  members_.reserve(receivers.size());  // All that is allocated comes before the slab is ours.
  if (!take_slab(class_index)) return false;
  priority_ = priority;
  cursor_ = 0;
  known_free_ = 0;
  hasty_count_ = 0;
  bits_ = 0;
  for (std::size_t i = 0; i < receivers.size(); ++i) {
    bits_ |= uint64_t{1} << bit(i);
    if (offer(receivers[i], i)) continue;
    close();
    return false;
  }
  return true;
}

void DirectLane::close() noexcept {
  if (first_ == nullptr) return;
  end_offers();
  first_ = nullptr;
  // With a loan out, the slab is given back when that ends.
  if (!loaned_) give_slab_back();
}

}  // namespace ripstop::detail
