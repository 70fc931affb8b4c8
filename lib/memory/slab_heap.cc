// Which chunk next. Messages come back roughly in the order they went out, so the oldest in flight is
// looked at first. A large chunk is worth a look at every loan: its payload may still be in our cache.
// For a small one only the header's and the payload's lines matter, and wherever they are they can be
// fetched while the last message is on its way; so small chunks are collected by the batch when few
// are left, and a look that finds nothing is not repeated at once: each one would pull a line away from
// the receiver that is about to release it.
//
// A chunk that has a slab to itself is the largest there is, and the one that was read last is in the
// cache of its reader. So its slab goes back to the pool when it is sent, and who releases it loans it
// next: two that answer each other pass one warm chunk to and fro.
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

void SlabHeap::Fifo::grow(std::size_t entry_count) {
  std::vector<Entry> larger(entry_count);
  const std::size_t count = size();
  for (std::size_t i = 0; i < count; ++i) larger[i] = entries_[(head_ + i) & (entries_.size() - 1)];
  entries_ = std::move(larger);
  head_ = 0;
  tail_ = count;
}

SlabHeap::SlabHeap(const ChunkMap& map, uint32_t node, uint32_t agent_id, uint64_t incarnation, WarmChunks* warm)
    : map_(map), node_(node), agent_id_(agent_id), incarnation_(incarnation), warm_(warm), classes_(map.classes().size()) {
  for (uint32_t i = 0; i < classes_.size(); ++i) {
    classes_[i].large = map.payload_bytes(i) >= kLargePayloadBytes;
    classes_[i].single = map.classes()[i].slab_chunks == 1;
  }
}

SlabHeap::~SlabHeap() {
  for (const ClassHeap& heap : classes_) {
    if (!heap.single) continue;
    for (const Entry& entry : heap.free) give_back(entry.chunk);
  }
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
  if (heap.single && heap.free.empty()) {
    if (!make_place(heap, 1)) return std::nullopt;
    const auto entry = take_single(class_index);
    if (!entry) return std::nullopt;
    heap.free.push_back(*entry);
  }
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

void SlabHeap::give_back(layout::ChunkId chunk) noexcept {
  layout::SlabOwner& owner = map_.slab_owner(layout::chunk_node(chunk), layout::chunk_slab(chunk));
  // Relaxed: only we write the word while it names us.
  uint64_t word = owner.load(std::memory_order_relaxed);
  if (layout::slab_owner_agent(word) != agent_id_) return;
  // R(slab). Failure: not ours.
  owner.compare_exchange_strong(word, layout::make_slab_owner(layout::slab_owner_version(word) + 1, 0, 0),
                                std::memory_order_release, std::memory_order_relaxed);
}

std::optional<SlabHeap::Entry> SlabHeap::take_single_slab(uint32_t node, uint32_t slab, uint32_t class_index) noexcept {
  const SlabPlace& place = map_.slab(node, slab);
  if (place.class_index != class_index) return std::nullopt;
  auto* header = reinterpret_cast<layout::ChunkHeader*>(place.first);
  layout::SlabOwner& owner = map_.slab_owner(node, slab);
  uint64_t word = owner.load(std::memory_order_relaxed);  // Relaxed: the swap below acquires.
  if (layout::slab_owner_agent(word) != 0 || !is_free(*header)) return std::nullopt;
  const uint64_t ours = layout::make_slab_owner(layout::slab_owner_version(word) + 1, agent_id_, incarnation_);
  // A(slab). Failure: another agent was faster.
  if (!owner.compare_exchange_strong(word, ours, std::memory_order_acquire, std::memory_order_relaxed)) return std::nullopt;
  const layout::ChunkId chunk = layout::make_chunk_id(node, slab, 0);
  if (is_free(*header)) return Entry{header, chunk};
  give_back(chunk);  // It was sent in between; its receivers free it.
  return std::nullopt;
}

std::optional<SlabHeap::Entry> SlabHeap::take_single(uint32_t class_index) noexcept {
  if (warm_ != nullptr) {
    if (const auto chunk = warm_->take(class_index)) {
      if (const auto entry = take_single_slab(layout::chunk_node(*chunk), layout::chunk_slab(*chunk), class_index)) return entry;
    }
  }
  for (uint32_t turn = 0; turn <= map_.node_count(); ++turn) {  // Our node first.
    const uint32_t node = turn == 0 ? node_ : turn - 1;
    if (turn != 0 && node == node_) continue;
    for (uint32_t slab = 0; slab < map_.slab_count(node); ++slab) {
      if (const auto entry = take_single_slab(node, slab, class_index)) return entry;
    }
  }
  return std::nullopt;
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

bool SlabHeap::make_place(ClassHeap& heap, std::size_t chunk_count) noexcept {
  try {
    if (slabs_.size() == slabs_.capacity()) slabs_.reserve(2 * slabs_.size() + 8);
    const std::size_t wanted = heap.chunk_count + chunk_count;
    if (wanted > heap.free.capacity()) heap.free.reserve(std::bit_ceil(wanted));
    heap.in_flight.reserve(wanted);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
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
    if (!make_place(heap, place.chunk_count)) return false;
    const uint64_t ours = layout::make_slab_owner(layout::slab_owner_version(word) + 1, agent_id_, incarnation_);
    // A(slab): what the last owner knew. Failure: another agent was faster.
    if (!owner.compare_exchange_strong(word, ours, std::memory_order_acquire, std::memory_order_relaxed)) continue;
    slabs_.push_back({node, slab});
    heap.chunk_count += place.chunk_count;
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
