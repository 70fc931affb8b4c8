// A direct lane: a slab whose chunks one publisher fills one after the other, and whose receivers look
// for the next message in the next chunk itself, not in a slot of their inbox.
//
// Invariants, and who may write each word:
//   The publisher alone loans chunks of the slab, while the lane is open and until a later owner takes
//   the slab. It sends through the lane only from the chunk at its cursor, with one bit for each member
//   and kFlagDirect, and then moves the cursor on; so member i's next direct message is in the chunk at
//   member i's cursor and nowhere else.
//   holders   {g, 0} -> {g, members' bits}: the commit, and the delivery to all members at once.
//             Nothing can be half done: recovery has nothing to push, and of the intent it wants only
//             the sequence. The chunk at the cursor is not marked as loaned: nobody else may loan it, and its first line,
//             on which the members spin, is written in one go, by the send.
//   entry     layout::AgentBlock::direct says who writes it when.
//   Whatever does not fit (the chunk at the cursor is held still, another priority, too large, another
//   set of receivers) goes through the rings as ever; receivers put the two in order by the publisher's
//   sequence (direct_inbox.h). So a lane is never waited for, and ends at any time without a handshake.
//
// A member that dies: recovery moves the route's epoch, makes every processor pass a fence, then
// releases the member's bits in the slab. The publisher looks at the epoch after each commit. Either
// recovery sees the commit or the publisher sees the epoch and takes the bit back; both is harmless. A
// publisher killed in between leaves a bit that no entry claims: its own recovery releases those.
//
// A message is told by its marks: kFlagDirect, source and row. Two lanes of one publisher and row bear
// the same; so a slab is not taken again while any agent's entry names it for an earlier lane of ours.
//
// A sleeper brings the fence (README.md, "Who goes to sleep"): nothing stands between the commit and the
// look at the bell.
//
// Edges.  R(commit) -> A(commit)  the message, as for every chunk (memory/holders.h).
//         R(direct) -> A(direct)  the offer or its end, publisher to member.
//         R(slab)   -> A(slab)    what is known of the chunks, one owner to the next.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "agent/receiver.h"
#include "base/atomic_pair.h"
#include "base/cache_line.h"
#include "control/fabric_map.h"
#include "memory/holders.h"
#include "memory/slab_heap.h"

namespace ripstop::detail {

// The publisher's end.
// Thread:   one at a time.
// Lifetime: ends before the maps.
class DirectLane {
 public:
  struct Publisher {
    uint32_t agent_id;
    uint64_t incarnation;
    uint32_t source;  // As headers name it.
    uint32_t row;
    uint32_t node;
  };

  DirectLane(const control::FabricMap& map, Publisher publisher) noexcept : map_(map), publisher_(publisher) {}
  DirectLane(const DirectLane&) = delete;
  DirectLane& operator=(const DirectLane&) = delete;

  // Offers a lane to `receivers`, in their order. False when one of them has no place for it, or when the
  // class has no slab to spare. The caller looks at the route's epoch again before it sends.
  bool open(std::span<const Receiver> receivers, uint32_t priority, uint32_t class_index);
  // The members drain what is there; the slab is anybody's.
  void close() noexcept;

  bool is_open() const noexcept { return first_ != nullptr; }
  uint32_t priority() const noexcept { return priority_; }
  // The members' bits; a send through the lane commits with them.
  uint64_t bits() const noexcept { return bits_; }
  static uint32_t bit(std::size_t member) noexcept { return layout::kDirectBitFirst - static_cast<uint32_t>(member); }

  // The chunk at the cursor, if it is free and has so much room.
  std::optional<memory::Loaned> loan(std::size_t payload_bytes) noexcept {
    if (payload_bytes > capacity_bytes_ || !has_room()) return std::nullopt;
    loaned_ = true;
    return memory::Loaned{&at(cursor_), first_chunk_ | cursor_, generations_[cursor_], class_index_};
  }
  bool has_room() noexcept { return first_ != nullptr && !loaned_ && (known_free_ != 0 || learn()); }
  bool fits(std::size_t payload_bytes) const noexcept {
    return first_ != nullptr && payload_bytes <= capacity_bytes_;
  }
  uint32_t capacity_bytes() const noexcept { return capacity_bytes_; }
  // Full: whether it may pay to wait for room. Not while the chunk at the cursor is out on loan, and not
  // soon after waiting in vain.
  bool may_wait() noexcept;
  // Whether there is room for a good many messages, so that publisher and receivers do not hand each
  // single line to and fro.
  bool has_much_room() noexcept;
  void waited_in_vain() noexcept;

  // Whether `chunk` was loaned here, perhaps before the lane was closed.
  bool has(layout::ChunkId chunk) const noexcept { return (chunk & ~(layout::kSlabChunksMax - 1)) == first_chunk_; }
  // The loan of such a chunk is over: it was committed or aborted.
  void loan_ended() noexcept {
    loaned_ = false;
    known_free_ = 0;  // It may have gone through the rings.
    if (first_ == nullptr) give_slab_back();
  }
  // It was sent through the lane.
  void sent() noexcept {
    loaned_ = false;
    cursor_ = next(cursor_);
    if (--known_free_ < kKnownAhead) (void)learn();
    const auto* line = reinterpret_cast<const std::byte*>(&at(ahead(kFetchedAhead)));
    base::prefetch_for_write(line);
    base::prefetch_for_write(line + layout::kChunkHeaderBytes);
  }

 private:
  // The members spin on the first line of the chunk at the cursor, so each look at it costs a transfer: what is
  // free is learnt before they come to it, from lines that were fetched a few sends ago.
  static constexpr uint32_t kKnownAhead = 2;
  static constexpr uint32_t kFetchedAhead = 3;

  struct Member {
    base::AtomicPair* entry;  // In its block.
    std::atomic<uint32_t>* version;
    base::Pair word;
  };

  layout::ChunkHeader& at(uint32_t index) const noexcept {
    return *reinterpret_cast<layout::ChunkHeader*>(first_ + std::size_t{index} * stride_bytes_);
  }
  uint32_t next(uint32_t index) const noexcept { return index + 1 == chunk_count_ ? 0 : index + 1; }
  uint32_t ahead(uint32_t count) const noexcept {
    const uint32_t index = cursor_ + count;
    return index < chunk_count_ ? index : index - chunk_count_;
  }
  // Looks at the first chunk that is not known to be free. Once it is, only we change that.
  bool learn() noexcept {
    const uint32_t index = ahead(known_free_);
    const layout::ChunkHeader& header = at(index);
    if (known_free_ == chunk_count_ || !memory::is_free(header)) return false;
    // Relaxed: is_free() acquired the release, and nobody but us moves it on.
    generations_[index] = header.holders.low.load(std::memory_order_relaxed);
    ++known_free_;
    return true;
  }
  bool take_slab(uint32_t class_index);
  // Slabs that entries name for earlier lanes of this publisher and row.
  std::vector<uint32_t> busy_slabs() const;
  void give_slab_back() noexcept;
  bool offer(const Receiver& receiver, std::size_t member);
  void end_offers() noexcept;

  const control::FabricMap& map_;
  Publisher publisher_;
  std::byte* first_ = nullptr;  // Null: not open.
  uint32_t stride_bytes_ = 0;
  uint32_t chunk_count_ = 0;
  uint32_t cursor_ = 0;
  uint32_t known_free_ = 0;  // Chunks from the cursor on that are free, and whose generations we know.
  std::array<uint64_t, layout::kSlabChunksMax> generations_{};
  uint32_t first_chunk_ = ~uint32_t{0};  // Number of the slab's first chunk; all ones: we have no slab.
  uint32_t class_index_ = 0;
  uint32_t capacity_bytes_ = 0;  // Of a chunk.
  uint32_t priority_ = 0;
  uint32_t hasty_count_ = 0;  // Sends that do not wait, because waiting has not paid.
  uint64_t bits_ = 0;
  uint64_t owner_word_ = 0;
  bool loaned_ = false;
  std::vector<Member> members_;
};

}  // namespace ripstop::detail
