// Which chunk next. Messages come back roughly in the order they went out, so the oldest in flight is
// looked at first. A large chunk is worth a look at every loan: its payload may still be in our cache.
// For a small one only the header's and the payload's lines matter, and wherever they are they can be
// fetched while the last message is on its way; so small chunks are collected by the batch when few
// are left, and a look that finds nothing is not repeated at once: each one would pull a line away from
// the receiver that is about to release it.
//
// Tried and rejected: a free bitmap that releasers set. It costs every release a second contended
// line, and must be rebuilt after a kill anyway.
#include "memory/slab_heap.h"

#include "base/cache_line.h"

namespace ripstop::memory {

namespace {

constexpr std::size_t kFewFree = 8;
constexpr uint32_t kLoansBetweenLooks = 4;
constexpr uint32_t kHarvestAtOnce = 16;
constexpr uint32_t kLargePayloadBytes = 16 * 1024;

// Whether a loan is outstanding. Only settling its agent gives that chunk back, and it looks for it in
// the slabs that the agent owns.
bool has_loans(const SlabPlace& place) noexcept {
  for (uint32_t index = 0; index < place.chunk_count; ++index) {
    const auto* header = reinterpret_cast<const layout::ChunkHeader*>(place.first + std::size_t{index} * place.stride_bytes);
    if (read_holders(*header).bits == layout::kPublisherHold) return true;
  }
  return false;
}

}  // namespace

void SlabHeap::Fifo::grow() {
  std::vector<Entry> larger(entries_.size() * 2);
  const std::size_t count = size();
  for (std::size_t i = 0; i < count; ++i) larger[i] = entries_[(head_ + i) & (entries_.size() - 1)];
  entries_ = std::move(larger);
  head_ = 0;
  tail_ = count;
}

SlabHeap::SlabHeap(const ChunkMap& map, uint32_t node, uint32_t agent_id, uint64_t incarnation)
    : map_(map), node_(node), agent_id_(agent_id), incarnation_(incarnation), classes_(map.classes().size()) {
  for (uint32_t i = 0; i < classes_.size(); ++i) classes_[i].large = map.payload_bytes(i) >= kLargePayloadBytes;
}

SlabHeap::~SlabHeap() {
  for (const OwnedSlab& owned : slabs_) {
    layout::SlabOwner& owner = map_.slab_owner(owned.node, owned.slab);
    // Relaxed: only we write the word while it names us.
    uint64_t word = owner.load(std::memory_order_relaxed);
    if (layout::slab_owner_agent(word) != agent_id_) continue;
    if (has_loans(map_.slab(owned.node, owned.slab))) continue;
    // R(slab): what we knew of its chunks, to the next owner.
    owner.compare_exchange_strong(word, layout::make_slab_owner(layout::slab_owner_version(word) + 1, 0, 0),
                                  std::memory_order_release, std::memory_order_relaxed);  // Failure: not ours.
  }
}

bool SlabHeap::harvest(ClassHeap& heap) noexcept {
  uint32_t found = 0;
  while (found < kHarvestAtOnce && !heap.in_flight.empty() && is_free(*heap.in_flight.front().header)) {
    heap.free.push_back(heap.in_flight.front());
    fetch(heap.in_flight.front());
    heap.in_flight.pop_front();
    ++found;
  }
  return found != 0;
}

void SlabHeap::harvest_all(ClassHeap& heap) noexcept {
  for (std::size_t left = heap.in_flight.size(); left > 0; --left) {
    const Entry entry = heap.in_flight.front();
    heap.in_flight.pop_front();
    if (is_free(*entry.header)) {
      heap.free.push_back(entry);
    } else {
      heap.in_flight.push_back(entry);
    }
  }
}

std::optional<Loaned> SlabHeap::loan(uint32_t class_index) noexcept {
  ClassHeap& heap = classes_[class_index];
  if (heap.large || heap.free.size() <= kFewFree) {
    if (heap.look_again > 0 && !heap.free.empty()) {
      --heap.look_again;
    } else if (!heap.in_flight.empty() && !harvest(heap) && !heap.large) {
      heap.look_again = kLoansBetweenLooks;
    }
  }
  if (heap.free.empty()) harvest_all(heap);
  if (heap.free.empty() && !take_slab(class_index)) return std::nullopt;
  const Entry entry = heap.free.back();
  heap.free.pop_back();
  return Loaned{entry.header, entry.chunk, mark_loaned(*entry.header), class_index};
}

void SlabHeap::fetch(const Entry& entry) noexcept {
  const auto* line = reinterpret_cast<const std::byte*>(entry.header);
  base::prefetch_for_write(line);
  base::prefetch_for_write(line + layout::kChunkHeaderBytes);
}

void SlabHeap::prefetch(uint32_t class_index) const noexcept {
  const ClassHeap& heap = classes_[class_index];
  if (!heap.free.empty()) fetch(heap.free.back());
}

bool SlabHeap::take_slab(uint32_t class_index) noexcept {
  if (take_slab_on(node_, class_index)) return true;
  for (uint32_t node = 0; node < map_.node_count(); ++node) {
    if (node != node_ && take_slab_on(node, class_index)) return true;
  }
  return false;
}

bool SlabHeap::take_slab_on(uint32_t node, uint32_t class_index) noexcept {
  ClassHeap& heap = classes_[class_index];
  for (uint32_t slab = 0; slab < map_.slab_count(node); ++slab) {
    const SlabPlace& place = map_.slab(node, slab);
    if (place.class_index != class_index) continue;
    layout::SlabOwner& owner = map_.slab_owner(node, slab);
    // Relaxed: the swap below acquires.
    uint64_t word = owner.load(std::memory_order_relaxed);
    if (layout::slab_owner_agent(word) != 0) continue;
    const uint64_t ours = layout::make_slab_owner(layout::slab_owner_version(word) + 1, agent_id_, incarnation_);
    // A(slab): what the last owner knew. Failure: another agent was faster.
    if (!owner.compare_exchange_strong(word, ours, std::memory_order_acquire, std::memory_order_relaxed)) continue;
    slabs_.push_back({node, slab});
    // An orphan comes as it is: what its last owner sent is in flight still.
    for (uint32_t index = place.chunk_count; index-- > 0;) {
      auto* header = reinterpret_cast<layout::ChunkHeader*>(place.first + std::size_t{index} * place.stride_bytes);
      const Entry entry{header, layout::make_chunk_id(node, slab, index)};
      if (is_free(*header)) {
        heap.free.push_back(entry);
      } else {
        heap.in_flight.push_back(entry);
      }
    }
    if (!heap.free.empty()) return true;
  }
  return false;
}

}  // namespace ripstop::memory
