// The two words that commit: a chunk's holders and a ring's slot. Pure arithmetic on 64-bit halves;
// the atomics that move them are in base/atomic_pair.h. LAYOUT.md §2 draws them.
#pragma once

#include <cstdint>

namespace ripstop::layout {

// --- references ---------------------------------------------------------------------------------

// A chunk by number: {node:4, slab:18, index in the slab:6}.
inline constexpr unsigned kChunkBits = 28;
inline constexpr unsigned kSlabIndexBits = 6;
inline constexpr unsigned kSlabBits = 18;
inline constexpr unsigned kNodeBits = 4;
inline constexpr uint32_t kSlabChunksMax = 1u << kSlabIndexBits;
inline constexpr uint32_t kNodeCountMax = 1u << kNodeBits;
inline constexpr uint32_t kNodeSlabsMax = 1u << kSlabBits;
static_assert(kNodeBits + kSlabBits + kSlabIndexBits == kChunkBits);

using ChunkId = uint32_t;

constexpr ChunkId make_chunk_id(uint32_t node, uint32_t slab, uint32_t index) noexcept {
  return (node << (kSlabBits + kSlabIndexBits)) | (slab << kSlabIndexBits) | index;
}
constexpr uint32_t chunk_node(ChunkId id) noexcept { return id >> (kSlabBits + kSlabIndexBits); }
constexpr uint32_t chunk_slab(ChunkId id) noexcept { return (id >> kSlabIndexBits) & (kNodeSlabsMax - 1); }
constexpr uint32_t chunk_index(ChunkId id) noexcept { return id & (kSlabChunksMax - 1); }

// A chunk in one of its lives: {chunk:28, generation's low bits:36}. Zero is no reference, because
// generations start at 1.
inline constexpr unsigned kGenerationBits = 36;
inline constexpr uint64_t kGenerationMask = (uint64_t{1} << kGenerationBits) - 1;

using Reference = uint64_t;

constexpr Reference make_reference(ChunkId chunk, uint64_t generation) noexcept {
  return (static_cast<uint64_t>(chunk) << kGenerationBits) | (generation & kGenerationMask);
}
constexpr ChunkId reference_chunk(Reference reference) noexcept {
  return static_cast<ChunkId>(reference >> kGenerationBits);
}
constexpr uint64_t reference_generation(Reference reference) noexcept { return reference & kGenerationMask; }
constexpr bool same_generation(Reference reference, uint64_t generation) noexcept {
  return reference_generation(reference) == (generation & kGenerationMask);
}

// --- holders {generation:64, bits:64} --------------------------------------------------------------

inline constexpr unsigned kPublisherBit = 63;  // The loaner fills it; alone it means: not committed.
inline constexpr unsigned kClosingBit = 62;    // The last holder left; links are being given back.
inline constexpr unsigned kLinkBit = 61;       // Held by the root message that names it as a link.
inline constexpr unsigned kDeliveryCount = 53; // Bits 0..52: one per delivery, or per branch.
// Bits 53..60: who was late with a delivery and may read it still. No slot and no letter ever names one.
inline constexpr unsigned kLateBitFirst = kDeliveryCount;
inline constexpr unsigned kLateBitCount = 8;
static_assert(kLateBitFirst + kLateBitCount == kLinkBit);
// Direct lanes take bits from the top, so that a chunk of theirs sent through rings is no direct message.
inline constexpr unsigned kDirectBitFirst = kDeliveryCount - 1;  // The first member's; the next one's is below.
inline constexpr unsigned kDirectMembersMax = 24;
inline constexpr uint64_t kPublisherHold = uint64_t{1} << kPublisherBit;
inline constexpr uint64_t kClosing = uint64_t{1} << kClosingBit;
inline constexpr uint64_t kLinkHold = uint64_t{1} << kLinkBit;
inline constexpr uint64_t kDeliveryHolds = (uint64_t{1} << kDeliveryCount) - 1;
inline constexpr uint64_t kLateHolds = ((uint64_t{1} << kLateBitCount) - 1) << kLateBitFirst;

// --- slot {reference or incarnation}{turn:36, bit:6, attempt:6, owner:14, phase:2} ------------------

enum class Phase : uint8_t { Empty = 0, Full = 1, Taken = 2, Closed = 3 };

inline constexpr unsigned kOwnerBits = 14;
inline constexpr uint32_t kAgentIdMax = (1u << kOwnerBits) - 3;  // 1 ..= this are agents.
inline constexpr uint32_t kOwnerNone = 0;                        // Also the supervisor's own slot.
inline constexpr uint32_t kOwnerDropped = (1u << kOwnerBits) - 1;
inline constexpr uint32_t kOwnerSupervisor = (1u << kOwnerBits) - 2;  // Of slabs: it copies a message.
inline constexpr unsigned kTurnBits = 36;
inline constexpr uint64_t kTurnMask = (uint64_t{1} << kTurnBits) - 1;
inline constexpr uint32_t kAttemptMax = 63;

struct SlotState {
  uint64_t turn;
  uint32_t bit;
  uint32_t attempt;
  uint32_t owner;
  Phase phase;
};

constexpr uint64_t pack(const SlotState& state) noexcept {
  return ((state.turn & kTurnMask) << 28) | (static_cast<uint64_t>(state.bit & 63) << 22) |
         (static_cast<uint64_t>(state.attempt & 63) << 16) |
         (static_cast<uint64_t>(state.owner & ((1u << kOwnerBits) - 1)) << 2) |
         static_cast<uint64_t>(state.phase);
}
constexpr SlotState unpack(uint64_t word) noexcept {
  return {word >> 28, static_cast<uint32_t>(word >> 22) & 63, static_cast<uint32_t>(word >> 16) & 63,
          static_cast<uint32_t>(word >> 2) & ((1u << kOwnerBits) - 1), static_cast<Phase>(word & 3)};
}
constexpr uint64_t word_turn(uint64_t word) noexcept { return word >> 28; }
constexpr Phase word_phase(uint64_t word) noexcept { return static_cast<Phase>(word & 3); }

// How far `turn` is ahead of `base` on the 36-bit circle: negative when it is behind.
constexpr int64_t turn_distance(uint64_t turn, uint64_t base) noexcept {
  return static_cast<int64_t>((turn - base) << (64 - kTurnBits)) >> (64 - kTurnBits);
}

// --- direct entry {free:19, start:6, slab:22, row:6, lane:3, bit:6, state:2}{free:32, source:32} -------

// A publisher's offer in its receiver's block: messages come in the chunks of `slab`, one after the other,
// beginning with chunk `start`, each with the receiver's `bit` and kFlagDirect. {0, 0}: no offer.
enum class DirectState : uint8_t { Free = 0, Open = 1, Ended = 2 };

struct DirectWord {
  uint32_t start;
  uint32_t slab;  // {node:4, slab:18}: a chunk's number without its index.
  uint32_t row;   // The publisher's row, as in headers.
  uint32_t lane;
  uint32_t bit;
  DirectState state;
};

constexpr uint64_t pack(const DirectWord& word) noexcept {
  return (static_cast<uint64_t>(word.start & 63) << 39) | (static_cast<uint64_t>(word.slab & 0x3fffff) << 17) |
         (static_cast<uint64_t>(word.row & 63) << 11) | (static_cast<uint64_t>(word.lane & 7) << 8) |
         (static_cast<uint64_t>(word.bit & 63) << 2) | static_cast<uint64_t>(word.state);
}
constexpr DirectWord unpack_direct(uint64_t word) noexcept {
  return {static_cast<uint32_t>(word >> 39) & 63, static_cast<uint32_t>(word >> 17) & 0x3fffff,
          static_cast<uint32_t>(word >> 11) & 63, static_cast<uint32_t>(word >> 8) & 7,
          static_cast<uint32_t>(word >> 2) & 63,  static_cast<DirectState>(word & 3)};
}

// --- late entry {reference}{0:22, copy:28, bit:6, late bit:6, returned:1, open:1} -------------------------

// A delivery that its agent did not give back in time. One swap of the holders takes its bit and sets the
// late bit in its stead; the message goes on in the copy. {0, 0}: no entry.
struct LateWord {
  ChunkId copy;       // While `open`: the chunk that the supervisor copies the message to.
  uint32_t bit;       // The delivery's.
  uint32_t late_bit;  // What the agent holds instead, once the holders say so.
  bool returned;      // The agent is giving it back.
  bool open;          // The copy is not on its way yet.
};

constexpr uint64_t pack(const LateWord& word) noexcept {
  return (static_cast<uint64_t>(word.copy & ((1u << kChunkBits) - 1)) << 14) | (static_cast<uint64_t>(word.bit & 63) << 8) |
         (static_cast<uint64_t>(word.late_bit & 63) << 2) | (word.returned ? 2u : 0u) | (word.open ? 1u : 0u);
}
constexpr LateWord unpack_late(uint64_t word) noexcept {
  return {static_cast<ChunkId>(word >> 14) & ((1u << kChunkBits) - 1), static_cast<uint32_t>(word >> 8) & 63,
          static_cast<uint32_t>(word >> 2) & 63, (word & 2) != 0, (word & 1) != 0};
}

// --- receivers ------------------------------------------------------------------------------------

// A receiver as a message names it: an agent and the incarnation of the ring of its that is meant, be it its
// inbox or one of its own: {incarnation's low bits:18, agent:14}. An agent as a source: by its inbox. Zero: nobody.
constexpr uint32_t make_receiver(uint32_t agent, uint64_t incarnation) noexcept {
  return (static_cast<uint32_t>(incarnation & 0x3ffff) << kOwnerBits) | agent;
}
constexpr uint32_t receiver_agent(uint32_t receiver) noexcept { return receiver & ((1u << kOwnerBits) - 1); }
constexpr uint32_t receiver_incarnation(uint32_t receiver) noexcept { return receiver >> kOwnerBits; }

// --- slab owner {version:24, incarnation:26, agent:14} ------------------------------------------------

constexpr uint64_t make_slab_owner(uint64_t version, uint32_t agent, uint64_t incarnation) noexcept {
  return (version << 40) | ((incarnation & 0x3ffffff) << kOwnerBits) | agent;
}
constexpr uint32_t slab_owner_agent(uint64_t word) noexcept {
  return static_cast<uint32_t>(word) & ((1u << kOwnerBits) - 1);
}
constexpr uint64_t slab_owner_incarnation(uint64_t word) noexcept { return (word >> kOwnerBits) & 0x3ffffff; }
constexpr uint64_t slab_owner_version(uint64_t word) noexcept { return word >> 40; }

}  // namespace ripstop::layout
