// The control segment: what the supervisor says, to everyone who maps it read-only.
//
//   [Superblock][AgentEntry ...][TopicEntry ...][topic buckets][SubscriptionEntry ...]
//   [RingEntry ...][LetterEntry ...][SlabEntry ... per node][route arena: routes and patterns]
//
// The supervisor is the only writer. An entry is written while nobody may read it and made valid by
// one store of its state word; a reader copies it and reads the state word again.
// LAYOUT.md §6 draws it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/cache_line.h"
#include "layout/ring_slots.h"
#include "layout/words.h"

namespace ripstop::layout {

inline constexpr uint64_t kControlMagic = 0x31'6c7274'63737052;  // "Rpsctrl1", little-endian.
inline constexpr uint32_t kAbiVersion = 1;
inline constexpr std::size_t kClassCountMax = 12;
inline constexpr std::size_t kEpochShards = 64;
inline constexpr std::size_t kNameFieldBytes = 72;    // 64 characters, a zero, padding.
inline constexpr std::size_t kTopicFieldBytes = 256;  // 255 characters and a zero.

// One size class; the same classes on every node.
struct ClassGeometry {
  uint32_t payload_bytes;  // What fits behind the chunk header.
  uint32_t stride_bytes;   // From chunk to chunk.
  uint32_t slab_chunks;    // 1 to 64.
  uint32_t slab_count;     // On each node.
};
static_assert(sizeof(ClassGeometry) == 16);

// How pages were asked for and what was got.
enum class PageKind : uint8_t { Small = 0, Transparent = 1, Huge = 2 };

struct NodeGeometry {
  uint64_t segment_bytes;
  uint64_t slab_owners_offset;
  uint64_t agent_blocks_offset;
  uint64_t ring_arena_offset;
  uint64_t ring_arena_bytes;
  uint64_t slabs_offset;
  uint64_t slab_table_offset;  // In the control segment: SlabEntry[slab_count].
  uint32_t slab_count;
  uint32_t agent_first;  // Agents [agent_first, agent_first + agent_count) have their block here.
  uint32_t agent_count;
  uint32_t numa_node;    // The kernel's number of it.
  PageKind pages_asked;
  PageKind pages_got;
  uint8_t bound;     // 1: the kernel bound the pages to the node.
  // Written by the supervisor while it lives, the two. A page that was lost stays lost.
  uint8_t poisoned;          // 1: a page was lost (memory/lost_pages.h).
  uint32_t lost_page_count;  // How many, as far as a supervisor met them.
  uint64_t reserved1[4];
};
static_assert(sizeof(NodeGeometry) == 112);

struct SlabEntry {
  uint64_t offset;  // In the node segment, of its first chunk.
  uint32_t class_index;
  uint32_t reserved0;
};
static_assert(sizeof(SlabEntry) == 16);

// Why a delivery is kept.
enum class LetterReason : uint8_t {
  Died = 0,      // Its agent died.
  Detached = 1,  // Its agent detached.
  NoRoom = 2,    // Recovery had to push it, and there was no room.
  Closed = 3,    // Recovery had to push it, and its ring was no more.
  Overdue = 4,   // Its agent had it in hand for longer than its lease, again and again.
};
// Why one was released unhandled.
enum class LetterEnd : uint8_t {
  Policy = 0,     // Dead letters are not kept.
  TableFull = 1,  // A newer one took its place, or it found none.
  ShareFull = 2,  // So many chunks of its class may not lie there.
  Dropped = 3,    // By hand.
};
inline constexpr std::size_t kLetterEndCount = 4;

inline constexpr uint32_t kWatchStopped = 1;
inline constexpr uint32_t kWatchUnit = 2;  // One number.

struct Superblock {
  // Written once before the segment is handed out.
  uint64_t magic;
  uint64_t layout_hash;
  uint32_t abi_version;
  uint32_t node_count;
  uint64_t control_bytes;
  uint64_t fabric_id;      // Random; the same for the life of the fabric.
  uint64_t create_time_ns; // CLOCK_REALTIME.
  uint64_t tsc_base;       // base::TscScale.
  uint64_t tsc_base_ns;
  uint64_t tsc_mult;
  char fabric_name[kNameFieldBytes];
  uint32_t class_count;
  uint32_t agent_capacity;  // Entries, the supervisor's entry 0 included.
  uint32_t topic_capacity;
  uint32_t topic_bucket_count;  // A power of two.
  uint32_t subscription_capacity;
  uint32_t ring_capacity;
  uint32_t agent_block_bytes;
  uint32_t lane_slots[kLaneCount];    // Powers of two.
  uint32_t lane_offset[kLaneCount];   // From the start of an agent block.
  uint32_t letter_capacity;
  uint64_t agents_offset;
  uint64_t topics_offset;
  uint64_t buckets_offset;
  uint64_t subscriptions_offset;
  uint64_t rings_offset;
  uint64_t routes_offset;
  uint64_t routes_bytes;
  uint64_t letters_offset;
  ClassGeometry classes[kClassCountMax];
  NodeGeometry nodes[kNodeCountMax];

  // Written by the supervisor while it lives.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> supervisor_epoch;  // One more at every take-over.
  std::atomic<uint32_t> supervisor_pid;
  std::atomic<uint32_t> keeper_pid;
  std::atomic<uint32_t> state;  // 0 starting, 1 serving, 2 draining, 3 ended.
  std::atomic<uint32_t> agent_high;  // Entries [0, agent_high) have been used.
  std::atomic<uint32_t> topic_high;
  std::atomic<uint32_t> subscription_high;
  std::atomic<uint32_t> ring_high;
  std::atomic<uint32_t> watch;  // {number:31, 1 stopped}: whether the tick looks after sleepers.
  std::atomic<uint64_t> next_incarnation;
  std::atomic<uint64_t> attach_count;
  std::atomic<uint64_t> detach_count;
  std::atomic<uint64_t> death_count;
  // What recovery did, summed.
  std::atomic<uint64_t> recovered_messages;  // Undelivered messages of the dead that were settled.
  std::atomic<uint64_t> recovered_chunks;
  std::atomic<uint64_t> completed_sends;     // Half-done fan-outs that recovery finished.
  std::atomic<uint64_t> corrupt_words;       // Words of node segments that were out of bounds.
  std::atomic<uint64_t> letters_released[kLetterEndCount];  // By LetterEnd.
  std::atomic<uint64_t> revoked_messages;    // Messages that went on in a copy because their agent was late.

  // Shard h & 63 of a topic's hash moves whenever who receives a topic of the shard changed.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> route_epoch[kEpochShards];

  // {version:32, unit of the trie's root, a PatternNode:32}; unit 0: no pattern is subscribed to. One store switches.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> pattern_root;
};
static_assert(offsetof(Superblock, fabric_name) == 72);
static_assert(offsetof(Superblock, supervisor_epoch) % 64 == 0);
static_assert(sizeof(Superblock) <= 4096);

enum class AgentState : uint8_t { Free = 0, Live = 1, Dead = 2 };

// {incarnation:62, AgentState:2}.
constexpr uint64_t make_agent_word(uint64_t incarnation, AgentState state) noexcept {
  return (incarnation << 2) | static_cast<uint64_t>(state);
}
constexpr uint64_t agent_word_incarnation(uint64_t word) noexcept { return word >> 2; }
constexpr AgentState agent_word_state(uint64_t word) noexcept { return static_cast<AgentState>(word & 3); }

enum class AgentEnd : uint8_t { None = 0, Died = 1, Detached = 2 };

inline constexpr uint32_t kAgentRemote = 1;    // Speaks through the gateway.
inline constexpr uint32_t kAgentObserver = 2;  // A tool: hidden from `shmctl agents` unless asked for.

struct AgentEntry {
  std::atomic<uint64_t> word;  // make_agent_word(); the rest is constant while it is LIVE or DEAD.
  uint32_t pid;
  uint32_t uid;
  uint32_t gid;
  uint32_t node_index;
  uint64_t attach_time_ns;  // CLOCK_MONOTONIC.
  uint64_t pidfd_inode;     // Names the process for the life of the host; 0: not known.
  uint32_t flags;
  AgentEnd ended;  // Written before DEAD.
  uint8_t reserved0[3];
  char name[kNameFieldBytes];
  char program[32];  // The process's comm.
  uint64_t ticket;   // Of the request that made it: asked again, it gets this entry.
  uint64_t end_time_ns;  // CLOCK_MONOTONIC, written before DEAD: until its place is another's, a publisher of the
                         // same name goes on with the sequences in its block.
  uint8_t reserved1[24];
};
static_assert(sizeof(AgentEntry) == 192);

struct TopicEntry {
  // {version:32, route block's unit in the route arena:32}; unit 0: no receiver. One store switches.
  std::atomic<uint64_t> route;
  std::atomic<uint32_t> state;  // 0 free, 1 in use. Names are constant while in use.
  uint32_t next;                // Following entry of the bucket + 1; 0: last. See bucket words.
  uint64_t hash;
  uint32_t name_bytes;
  uint32_t reserved0;
  char name[kTopicFieldBytes];
  uint8_t reserved1[32];
};
static_assert(sizeof(TopicEntry) == 320);

// A bucket: first entry's index + 1; 0: empty. Entries are prepended, never removed.
using TopicBucket = std::atomic<uint32_t>;

inline constexpr std::size_t kRouteUnitBytes = 64;

// Who receives a topic. Immutable once a TopicEntry names it; reused 100 ms after it was retired.
struct RouteHeader {
  uint64_t version;
  uint32_t topic_id;
  uint32_t receiver_count;
  uint32_t unit_count;  // Its size in the arena.
  uint32_t reserved0;
  uint64_t reserved1[5];
};
static_assert(sizeof(RouteHeader) == 64);

// One receiver; an agent is named once per ring.
struct RouteReceiver {
  uint64_t incarnation;  // The ring's.
  uint32_t agent;
  uint32_t ring_id;      // 0: the agent's inbox, lane by priority. Else RingEntry.
  uint8_t overflow;
  uint8_t reserved0[3];
  uint32_t subscription;  // SubscriptionEntry.
  uint32_t subscription_row;  // In the agent's block.
  uint32_t agent_incarnation_low;
};
static_assert(sizeof(RouteReceiver) == 32);

// --- patterns ---------------------------------------------------------------------------------------
// A trie over the tokens of the patterns, in units of the route arena. What the root leads to is immutable;
// a change copies the path to it, and what only the old root led to is reused 100 ms afterwards.

// Where the tokens so far have led to. Each of the four is a unit, 0: there is none.
struct PatternNode {
  uint64_t token_hash;  // Of the literal that leads here, by name_hash(); below `*`, and of the root: 0.
  uint32_t literals;    // By the next token's hash: a PatternNode, or with kPatternBranchBit a PatternBranch.
  uint32_t any;         // The PatternNode below `*`.
  uint32_t here;        // The PatternRoute of the pattern that ends here.
  uint32_t tail;        // The PatternRoute of the one that goes on with `**`.
  uint32_t reserved0[10];
};
static_assert(sizeof(PatternNode) == kRouteUnitBytes);

inline constexpr uint32_t kPatternBranchBits = 4;
inline constexpr uint32_t kPatternBranchDepthMax = 64 / kPatternBranchBits;
inline constexpr uint32_t kPatternBranchBit = 1u << 31;  // In a reference.

// Of literals, by the next bits of their hashes, the lowest first.
struct PatternBranch {
  uint32_t literals[1u << kPatternBranchBits];  // As in PatternNode.
};
static_assert(sizeof(PatternBranch) == kRouteUnitBytes);

// Who subscribes to one pattern; RouteReceivers follow. Patterns that differ in tokens of the same hash
// share a place in the trie, so whoever comes here compares the text.
struct PatternRoute {
  uint32_t text;  // PatternText.
  uint32_t receiver_count;
  uint32_t unit_count;  // Its size in the arena.
  uint32_t next;        // PatternRoute of another pattern of the same place; 0: the last.
  uint64_t reserved0[2];
};
static_assert(sizeof(PatternRoute) == 32);

// A pattern, canonical (control/topic_grammar.h); the characters follow. Constant and in its place while a
// subscription or a route names it.
struct PatternText {
  uint32_t text_bytes;
  uint32_t unit_count;
};
static_assert(sizeof(PatternText) == 8);

// A subscription's topic_id, when it is one to a pattern: {1, unit of its PatternText:31}.
inline constexpr uint32_t kPatternFlag = 1u << 31;
constexpr bool is_pattern_id(uint32_t topic_id) noexcept { return (topic_id & kPatternFlag) != 0; }

struct SubscriptionEntry {
  std::atomic<uint64_t> word;  // {id:62, 0 free / 1 in use}.
  uint64_t agent_incarnation;
  uint64_t since_ns;   // CLOCK_MONOTONIC.
  uint32_t topic_id;   // Or a pattern's, see kPatternFlag.
  uint32_t ring_id;
  uint32_t ticket;     // Of the agent's request that made it; 0: none.
  uint16_t agent;
  uint8_t overflow;
  uint8_t row;
};
static_assert(sizeof(SubscriptionEntry) == 40);
static_assert(kAgentIdMax <= 0xffff);

enum class RingKind : uint8_t { Queue = 1, Channel = 2 };

// In a RingEntry's word.
inline constexpr uint64_t kRingFree = 0;
inline constexpr uint64_t kRingInUse = 1;
inline constexpr uint64_t kRingSettling = 2;
constexpr uint64_t make_ring_word(uint64_t incarnation, uint64_t state) noexcept { return (incarnation << 2) | state; }

// A ring or channel of the arenas. Its place and geometry never change; its owner and use do.
struct RingEntry {
  std::atomic<uint64_t> word;  // make_ring_word().
  uint64_t offset;             // In the node segment, of the RingBlock or ChannelHeader.
  uint32_t node_index;
  uint32_t slot_count;  // A power of two.
  uint32_t slot_bytes;  // Queue: 16. Channel: a multiple of 64, ChannelSlot included.
  RingKind kind;
  uint8_t overflow;
  uint8_t place;  // Queue: as in LetterEntry.
  uint8_t reserved0;
  uint32_t owner;  // Queue: its taker. Channel: its consumer; 0: none yet.
  uint32_t producer;  // Channel: its producer; 0: none yet.
  uint64_t owner_incarnation;
  uint64_t producer_incarnation;
  char name[kNameFieldBytes];  // Channel: its name.
  uint32_t owner_ticket;       // Channel: of the requests that opened the ends; 0: none.
  uint32_t producer_ticket;
};
static_assert(sizeof(RingEntry) == 136);

enum class LetterState : uint8_t { Free = 0, Waiting = 1, Dead = 2, Handed = 3 };

// {serial:48, attempt:6, LetterReason:6, LetterState:4}. Serials say who came first.
constexpr uint64_t make_letter_word(uint64_t serial, uint32_t attempt, LetterReason reason, LetterState state) noexcept {
  return (serial << 16) | (static_cast<uint64_t>(attempt & 63) << 10) | (static_cast<uint64_t>(reason) << 4) |
         static_cast<uint64_t>(state);
}
constexpr uint64_t letter_word_serial(uint64_t word) noexcept { return word >> 16; }
constexpr uint32_t letter_word_attempt(uint64_t word) noexcept { return static_cast<uint32_t>(word >> 10) & 63; }
constexpr LetterReason letter_word_reason(uint64_t word) noexcept { return static_cast<LetterReason>((word >> 4) & 63); }
constexpr LetterState letter_word_state(uint64_t word) noexcept { return static_cast<LetterState>(word & 15); }

inline constexpr uint8_t kLetterInbox = 0;

// A delivery that nobody handled, held by its own bit. An entry whose bit is gone, or whose chunk has
// begun another life, counts as empty. Who it is for, and what it says of its message, stays for good.
struct LetterEntry {
  std::atomic<uint64_t> word;
  Reference reference;    // The message, or a branch of it.
  uint64_t destination;   // HANDED: {its owner's incarnation's low bits:32, receiver word:32}.
  uint64_t sequence;
  uint64_t publish_time_ns;
  uint64_t since_ns;      // CLOCK_MONOTONIC.
  uint64_t until_ns;      // WAITING: the same clock.
  uint32_t topic_id;
  uint32_t source;
  uint32_t payload_bytes;
  uint8_t bit;
  uint8_t lane;
  uint8_t publisher_row;
  uint8_t place;  // Its agent's ring: kLetterInbox, or the n-th ring of its own that it had of the topic.
  char name[kNameFieldBytes];  // Whom it was for; empty: not known any more.
};
static_assert(sizeof(LetterEntry) == 144);

}  // namespace ripstop::layout
