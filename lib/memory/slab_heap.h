// Where one thread's loans come from: slabs that its agent owns.
//
// Only the owner of a slab turns its chunks from FREE to LOANED, so a loan meets no contention. What
// is free is never recorded in shared memory: the holders say it. The lists here are private hints.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>
#include <vector>

#include "layout/chunk_header.h"
#include "memory/chunk_map.h"
#include "memory/holders.h"

namespace ripstop::memory {

// A chunk in the hands of its loaner.
struct Loaned {
  layout::ChunkHeader* header;
  layout::ChunkId chunk;
  uint64_t generation;
  uint32_t class_index;

  layout::Reference reference() const noexcept { return layout::make_reference(chunk, generation); }
};

// The chunks that this agent was the last to hold, one of each class: what it read there is in its cache.
// Hints. Thread: any.
class WarmChunks {
 public:
  // Only chunks that have a slab to themselves: others are loaned by their slab's owner alone.
  void note(const ChunkMap& map, layout::ChunkId chunk) noexcept {
    const SlabPlace& place = map.slab_of(chunk);
    if (place.chunk_count != 1) return;
    chunks_[place.class_index].store(chunk + 1, std::memory_order_relaxed);  // Relaxed: a hint.
  }
  std::optional<layout::ChunkId> take(uint32_t class_index) noexcept {
    const uint32_t chunk = chunks_[class_index].exchange(0, std::memory_order_relaxed);  // Relaxed: a hint.
    return chunk == 0 ? std::nullopt : std::optional<layout::ChunkId>(chunk - 1);
  }

 private:
  std::array<std::atomic<uint32_t>, layout::kClassCountMax> chunks_{};  // The number and one; 0: none.
};

// Thread:   one at a time.
// Lifetime: ends before the map; gives its slabs back, with what is still in flight in them: the
//           next owner takes them as they are. A slab with a loan in it stays for the settlement.
class SlabHeap {
 public:
  // `warm`: the agent's, or null.
  SlabHeap(const ChunkMap& map, uint32_t node, uint32_t agent_id, uint64_t incarnation, WarmChunks* warm = nullptr);
  SlabHeap(const SlabHeap&) = delete;
  SlabHeap& operator=(const SlabHeap&) = delete;
  ~SlabHeap();

  // A chunk of the class. Large ones: the most recently freed first, because it is warm. Small ones: one
  // whose lines prefetch() has fetched. Nothing when neither our slabs nor any free slab has one, on our
  // node first, then on the others.
  std::optional<Loaned> loan(uint32_t class_index) noexcept;

  // The message went out: its chunk comes back by its holders.
  void sent(const Loaned& loaned) noexcept {
    if (map_.slab_of(loaned.chunk).chunk_count == 1) return give_back(loaned.chunk);
    classes_[loaned.class_index].in_flight.push_back({loaned.header, loaned.chunk});
  }
  // The loan was aborted: the chunk is free now.
  void aborted(const Loaned& loaned) noexcept {
    ClassHeap& heap = classes_[loaned.class_index];
    // Another thread's heap may have loaned it; without a place here the slab's next owner finds it.
    if (heap.free.size() < heap.free.capacity() || make_place(heap, 1)) heap.free.push_back({loaned.header, loaned.chunk});
  }

  // Fetches the lines that the next loan of the class will write, without waiting for them.
  void prefetch(uint32_t class_index) const noexcept;

  uint32_t slab_count() const noexcept { return static_cast<uint32_t>(slabs_.size()); }

 private:
  struct Entry {
    layout::ChunkHeader* header;
    layout::ChunkId chunk;
  };
  // Oldest first; grows by doubling, never shrinks.
  class Fifo {
   public:
    bool empty() const noexcept { return head_ == tail_; }
    std::size_t size() const noexcept { return tail_ - head_; }
    const Entry& front() const noexcept { return entries_[head_ & (entries_.size() - 1)]; }
    void pop_front() noexcept { ++head_; }
    void push_back(Entry entry) noexcept {
      if (size() == entries_.size()) grow(2 * entries_.size());
      entries_[tail_++ & (entries_.size() - 1)] = entry;
    }

    void reserve(std::size_t count) {
      if (count > entries_.size()) grow(std::bit_ceil(count));
    }

   private:
    void grow(std::size_t count);  // A power of two.
    std::vector<Entry> entries_ = std::vector<Entry>(64);
    std::size_t head_ = 0;
    std::size_t tail_ = 0;
  };
  struct ClassHeap {
    std::vector<Entry> free;
    Fifo in_flight;
    std::size_t chunk_count = 0;  // Of all slabs that were taken: so many fit into both without growing.
    uint32_t look_again = 0;  // Loans until the oldest in flight is looked at again.
    bool large = false;
    bool single = false;  // One chunk to a slab.
  };
  struct OwnedSlab {
    uint32_t node;
    uint32_t slab;
  };

  static void fetch(const Entry& entry) noexcept;
  // Moves what has come back from the front of in_flight to `free`; true if anything has.
  bool harvest(ClassHeap& heap) noexcept;
  // Looks at every chunk in flight.
  void harvest_all(ClassHeap& heap) noexcept;
  // A chunk with a slab to itself. It is anybody's once it is sent, so that whoever released it last,
  // and has it in its cache, loans it next.
  std::optional<Entry> take_single(uint32_t class_index) noexcept;
  std::optional<Entry> take_single_slab(uint32_t node, uint32_t slab, uint32_t class_index) noexcept;
  void give_back(layout::ChunkId chunk) noexcept;
  bool take_slab(uint32_t class_index) noexcept;
  bool take_slab_on(uint32_t node, uint32_t class_index) noexcept;
  // Makes place for a slab's chunks before it is ours. False: there is no memory for it.
  bool make_place(ClassHeap& heap, std::size_t chunk_count) noexcept;

  const ChunkMap& map_;
  uint32_t node_;
  uint32_t agent_id_;
  uint64_t incarnation_;
  WarmChunks* warm_;
  std::vector<ClassHeap> classes_;
  std::vector<OwnedSlab> slabs_;
};

}  // namespace ripstop::memory
