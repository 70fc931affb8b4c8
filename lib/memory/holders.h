// A chunk's life, one word at a time.
//
//   FREE {g,0} --loan--> LOANED {g,publisher} --commit--> {g,deliveries} --last release--> {g+1,0} FREE
//                              \--abort--> {g+1,0}             \-> {g,closing} -> {g+1,0}  with links
//
// Who may write:
//   FREE is written by the slab's owner alone, LOANED by the loaner alone: plain stores suffice, and
//   a sleeper's stale swap fails on the generation. After the commit, everybody: by 16-byte swap that
//   compares the generation, so that clearing a bit twice is harmless.
//
// Edges.  R(commit)  -> A(commit)   the message, loaner to whoever reads the holders.
//         R(release) -> A(release)  the chunk's reuse, last holder to the slab's owner.
#pragma once

#include <cstdint>

#include "layout/chunk_header.h"
#include "memory/chunk_map.h"

namespace ripstop::memory {

struct Holders {
  uint64_t generation;
  uint64_t bits;
};

// Reads generation, bits, generation; the halves belong together unless the chunk changed its life
// again and again while we looked, then the last look is returned and no swap with it succeeds.
inline Holders read_holders(const layout::ChunkHeader& header) noexcept {
  Holders holders{header.holders.low.load(std::memory_order_acquire), 0};  // A(commit)
  for (int tries = 0; tries < 64; ++tries) {
    holders.bits = header.holders.high.load(std::memory_order_acquire);                 // A(commit)
    const uint64_t again = header.holders.low.load(std::memory_order_acquire);  // A(commit)
    if (again == holders.generation) break;
    holders.generation = again;
  }
  return holders;
}

inline bool is_free(const layout::ChunkHeader& header) noexcept {
  return header.holders.high.load(std::memory_order_acquire) == 0;  // A(release)
}

// The slab's owner: FREE -> LOANED. Returns the generation.
inline uint64_t mark_loaned(layout::ChunkHeader& header) noexcept {
  // Relaxed: is_free() acquired the release; only the owner leaves FREE; nobody reads on for our bit.
  header.holders.high.store(layout::kPublisherHold, std::memory_order_relaxed);
  return header.holders.low.load(std::memory_order_relaxed);
}

inline bool is_loaned(const layout::ChunkHeader& header) noexcept {
  return header.holders.high.load(std::memory_order_relaxed) == layout::kPublisherHold;  // Relaxed: the loaner's own.
}

// The loaner: LOANED -> FREE. Nobody ever saw the chunk.
inline void abort_loan(layout::ChunkHeader& header, uint64_t generation) noexcept {
  header.holders.store_exclusive({generation + 1, 0});  // R(release)
}

// The loaner: LOANED -> held by `bits`. For the root of a message this is the commit.
inline void commit(layout::ChunkHeader& header, uint64_t bits) noexcept {
  header.holders.high.store(bits, std::memory_order_release);  // R(commit)
}

enum class [[nodiscard]] Release : uint8_t {
  Held,   // Others hold it still.
  Freed,  // That was the last one.
  Gone,   // The bit was not there, or it was an earlier life: nothing changed.
};

// Clears `bit` of the chunk's life that `reference` names; frees it, its links and, for a branch, its
// hold on the message when it was the last. Bounded; never waits.
Release release(const ChunkMap& map, layout::Reference reference, uint32_t bit) noexcept;

// The same for a holder that has seen all of the generation and knows where the chunk is: the usual
// release is one swap, be it the last one or one of many.
inline Release release_seen(const ChunkMap& map, layout::ChunkHeader& header, layout::Reference reference,
                            uint64_t generation, uint32_t bit) noexcept {
  if (header.role != layout::ChunkRole::Branch && (header.flags & layout::kFlagLinked) == 0) [[likely]] {
    const uint64_t mine = uint64_t{1} << bit;
    // Relaxed: the swap checks both halves.
    base::Pair expected{generation, header.holders.high.load(std::memory_order_relaxed)};
    const bool last = expected.high == mine;
    const base::Pair desired = last ? base::Pair{generation + 1, 0} : base::Pair{generation, expected.high & ~mine};
    // R(release)
    if ((expected.high & mine) != 0 && header.holders.compare_exchange(expected, desired)) {
      return last ? Release::Freed : Release::Held;
    }
  }
  return release(map, reference, bit);
}

inline Release release_seen(const ChunkMap& map, layout::Reference reference, uint64_t generation, uint32_t bit) noexcept {
  layout::ChunkHeader* header = map.find(layout::reference_chunk(reference));
  return header == nullptr ? Release::Gone : release_seen(map, *header, reference, generation, bit);
}

// Finishes a chunk that was left {g, closing} by a dead releaser.
void finish_closing(const ChunkMap& map, layout::ChunkHeader& header, layout::ChunkId chunk,
                    uint64_t generation) noexcept;

// The loaner gives up a message that was never committed, with all its links.
void abort_message(const ChunkMap& map, layout::ChunkHeader& root, uint64_t generation) noexcept;

// The payload of `header`, as far as its class and its own count allow; false when they disagree.
inline std::byte* payload(layout::ChunkHeader& header) noexcept {
  return reinterpret_cast<std::byte*>(&header) + layout::kChunkHeaderBytes;
}
inline const layout::ChunkHeader& header_of(const std::byte* payload) noexcept {
  return *reinterpret_cast<const layout::ChunkHeader*>(payload - layout::kChunkHeaderBytes);
}
inline layout::ReceiverNames& receiver_names(layout::ChunkHeader& header) noexcept {
  return *reinterpret_cast<layout::ReceiverNames*>(payload(header));
}

// Links of one message: further segments, receiver lists, branches.
inline constexpr uint32_t kLinksMax = 512;
// How deep branches may nest: 53 x 53 x 53 deliveries.
inline constexpr int kBranchDepthMax = 3;

}  // namespace ripstop::memory
