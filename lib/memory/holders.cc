// Links are given back last first: each names the next, so a chain cut at its end can still be walked
// from its root by whoever finishes the work of a dead releaser. Branches stand at the end of the
// chain, because they are freed by their own deliveries while the message lives: of a committed message
// a walk ends at the first of them, since its chunk may have begun another message under our eyes.
// What a helper reads of a chunk that is closing is worth something only if it is closing still
// afterwards: everything is copied first, then looked at again.
#include "memory/holders.h"

#include "base/check.h"

namespace ripstop::memory {

namespace {

using layout::ChunkHeader;
using layout::ChunkRole;
using layout::Reference;

// What a chunk is linked with.
struct Ends {
  ChunkRole role;
  bool linked;  // The rest is only read, and only means something, when it is.
  Reference root;
  Reference link;
  uint32_t root_bit;
};

// Copies them from a chunk that may leave its life meanwhile: the copy counts only if a later look at the
// holders, or a swap of them, finds the life that it was made for. So ThreadSanitizer does not see it.
__attribute__((no_sanitize("thread"))) Ends read_ends(ChunkHeader& header) noexcept {
  Ends ends{header.role, header.role == ChunkRole::Branch || (header.flags & layout::kFlagLinked) != 0, 0, 0, 0};
  if (!ends.linked) return ends;  // The second line stays untouched.
  ends.root = header.root;
  ends.link = ends.role == ChunkRole::Branch ? 0 : header.link;
  if (ends.role == ChunkRole::Branch) ends.root_bit = receiver_names(header).root_bit & 63;
  std::atomic_thread_fence(std::memory_order_acquire);  // A(*): the copy is made before what validates it.
  return ends;
}

// Takes the link hold (or, before the commit, whatever the loaner holds) off a linked chunk of `root`.
void free_link(const ChunkMap& map, Reference reference, Reference root) noexcept {
  ChunkHeader* header = map.find(layout::reference_chunk(reference));
  if (header == nullptr) return;
  // A helper may have finished the root, and its chunk may have begun a new message with new links:
  // those name another generation of it.
  if (root != 0 && header->root != root) return;
  Holders holders = read_holders(*header);
  for (uint32_t tries = 0; tries < 64; ++tries) {
    if (!layout::same_generation(reference, holders.generation) || holders.bits == 0) return;
    base::Pair expected{holders.generation, holders.bits};
    if (header->holders.compare_exchange(expected, {holders.generation + 1, 0})) return;  // R(release)
    holders = {expected.low, expected.high};
  }
}

// `reference`: the root as its links name it; 0 before the commit, when branches are nobody else's yet.
void free_links(const ChunkMap& map, Reference first, Reference reference) noexcept {
  Reference links[kLinksMax];
  uint32_t count = 0;
  Reference next = first;
  while (next != 0 && count < kLinksMax) {
    const ChunkHeader* header = map.find(layout::reference_chunk(next));
    if (header == nullptr) break;
    const Holders holders = read_holders(*header);
    if (!layout::same_generation(next, holders.generation)) break;
    if (reference != 0 && header->role == ChunkRole::Branch) break;
    links[count++] = next;
    next = header->link;
  }
  while (count > 0) free_link(map, links[--count], reference);
}

}  // namespace

void finish_closing(const ChunkMap& map, ChunkHeader& header, layout::ChunkId chunk, uint64_t generation) noexcept {
  const Ends ends = read_ends(header);
  const Holders holders = read_holders(header);
  if (holders.generation != generation || holders.bits != layout::kClosing) return;
  if (ends.role == ChunkRole::Branch) {
    (void)release(map, ends.root, ends.root_bit);  // Its hold on the message.
  } else {
    free_links(map, ends.link, layout::make_reference(chunk, generation));
  }
  base::Pair expected{generation, layout::kClosing};
  (void)header.holders.compare_exchange(expected, {generation + 1, 0});  // R(release): a helper may be first.
}

Release release(const ChunkMap& map, Reference reference, uint32_t bit) noexcept {
  struct Level {
    ChunkHeader* header;
    Reference reference;
    Reference link;
    uint64_t generation;
  };
  Level closing[kBranchDepthMax + 1];
  int depth = 0;
  Release result = Release::Gone;
  for (;;) {
    ChunkHeader* header = map.find(layout::reference_chunk(reference));
    if (header == nullptr) break;
    const uint64_t mask = uint64_t{1} << bit;
    // Read before the swap: afterwards the chunk may be somebody else's.
    const Ends ends = read_ends(*header);
    Holders holders = read_holders(*header);
    bool closed = false;
    for (uint32_t tries = 0; tries < 1u << 16; ++tries) {  // At most as often as others release; then give up.
      if (!layout::same_generation(reference, holders.generation) || (holders.bits & mask) == 0) break;
      const uint64_t left = holders.bits & ~mask;
      base::Pair desired{holders.generation, left};
      if (left == 0) desired = ends.linked ? base::Pair{holders.generation, layout::kClosing} : base::Pair{holders.generation + 1, 0};
      base::Pair expected{holders.generation, holders.bits};
      if (header->holders.compare_exchange(expected, desired)) {  // R(release)
        if (depth == 0) result = left == 0 ? Release::Freed : Release::Held;
        closed = left == 0 && ends.linked;
        break;
      }
      holders = {expected.low, expected.high};
    }
    if (!closed) break;
    closing[depth++] = {header, reference, ends.link, holders.generation};
    if (ends.role != ChunkRole::Branch) break;
    if (depth > kBranchDepthMax) break;  // Deeper than anything we build: scribbled on.
    reference = ends.root;
    bit = ends.root_bit;
  }
  // The message first, then its branches: each keeps its life until what it names is settled.
  while (depth > 0) {
    const Level level = closing[--depth];
    free_links(map, level.link, level.reference);
    base::Pair expected{level.generation, layout::kClosing};
    (void)level.header->holders.compare_exchange(expected, {level.generation + 1, 0});  // R(release)
  }
  return result;
}

void abort_message(const ChunkMap& map, ChunkHeader& root, uint64_t generation) noexcept {
  if ((root.flags & layout::kFlagLinked) != 0) free_links(map, root.link, 0);
  abort_loan(root, generation);
}

}  // namespace ripstop::memory
