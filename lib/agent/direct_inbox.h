// A receiver's end of direct lanes (direct_lane.h): where the next message of each lies, and in which
// order they and the slots of the inbox are taken.
//
// Order: one publisher's messages on one topic and priority are taken as they were sent, whichever way
// they came. A direct message that has the sequence after the last one taken is next. With a gap before
// it the missing ones were pushed into the inbox's lane before it was committed, so they are seen there
// now, if they came to us at all: the lane goes first, at most as many messages as it has slots.
//
// Thread: the agent's receiving thread, but for has_mail(), which excludes changes by a lock of the
// caller's.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/cache_line.h"
#include "control/direct_slab.h"
#include "layout/agent_block.h"
#include "layout/chunk_header.h"
#include "memory/chunk_map.h"

namespace ripstop::detail {

// One lane that ends here.
class DirectSource {
 public:
  // What a message's header says, copied from a chunk that may be leaving this life.
  struct Found {
    layout::ChunkHeader* header = nullptr;
    uint64_t generation = 0;
    uint64_t sequence = 0;
  };

  // False when the entry names no slab or nonsense. `mark`: where the supervisor sees what is in our hands.
  bool open(const memory::ChunkMap& map, const control::DirectEntry& entry, std::atomic<uint64_t>& mark) noexcept;
  void close() noexcept { first_ = nullptr; }
  bool is_open() const noexcept { return first_ != nullptr; }

  // The next message. Thread: any, while the lane is not opened or closed.
  bool look(Found& found) const noexcept {
    const uint32_t cursor = cursor_.load(std::memory_order_relaxed);  // Relaxed: the receiving thread's.
    layout::ChunkHeader& header = at(cursor);
    // The generation, then our bit: what is committed in this life is not written again before the next.
    const uint64_t generation = header.holders.low.load(std::memory_order_acquire);                    // A(commit)
    if (((header.holders.high.load(std::memory_order_acquire) >> bit_) & 1) == 0) return false;  // A(commit)
    if (((in_hand_.load(std::memory_order_relaxed) >> cursor) & 1) != 0) return false;                 // Relaxed: ours.
    const control::DirectMarks marks = control::copy_marks(header);
    if (!marks.direct || marks.source != source_ || marks.row != row_) return false;
    // Relaxed: ours. A message that we have in hand since the last lap is no new one.
    if (marks.sequence <= last_.load(std::memory_order_relaxed)) return false;
    // Relaxed: the copy ends with a fence. The bit may have been another's, of a message sent through a ring.
    if (header.holders.low.load(std::memory_order_relaxed) != generation) return false;
    found = {&header, generation, marks.sequence};
    return true;
  }
  bool in_order(const Found& found) const noexcept { return found.sequence == expected_; }
  bool is_from(uint32_t source, uint32_t row) const noexcept { return source == source_ && row == row_; }
  // The message of `found` is taken: the next one is in the next chunk.
  void taken(const Found& found) noexcept {
    // Relaxed, all of them: ours; has_mail() may look once too often.
    last_.store(found.sequence, std::memory_order_relaxed);
    const uint32_t cursor = cursor_.load(std::memory_order_relaxed) + 1;
    set_in_hand(in_hand_.load(std::memory_order_relaxed) | uint64_t{1} << (cursor - 1));
    cursor_.store(cursor == chunk_count_ ? 0 : cursor, std::memory_order_relaxed);  // Relaxed: as above.
    expected_ = found.sequence + 1;
    passed_count_ = 0;
  }
  // A message of that chunk was released.
  void released(uint32_t chunk_index) noexcept {
    set_in_hand(in_hand_.load(std::memory_order_relaxed) & ~(uint64_t{1} << chunk_index));  // Relaxed: ours, as above.
  }
  // Fetches the first line of the next message's payload.
  void prefetch_payload() const noexcept {
    // Relaxed: ours.
    base::prefetch_for_read(memory::payload(at(cursor_.load(std::memory_order_relaxed))));
  }
  // Fetches the lines of a message `ahead` of the next one: worth it when it is there already.
  void prefetch(uint32_t ahead) const noexcept;

  // Whether a chunk of the slab still has our bit as a message of this lane, taken or not.
  bool has_any(const memory::ChunkMap& map) const noexcept;

  // Of the chunk that look() found.
  uint32_t chunk_number() const noexcept {
    return first_chunk_ | cursor_.load(std::memory_order_relaxed);  // Relaxed: ours.
  }
  uint32_t bit() const noexcept { return bit_; }
  uint32_t priority() const noexcept { return priority_; }
  uint32_t capacity_bytes() const noexcept { return capacity_bytes_; }
  const control::DirectEntry& entry() const noexcept { return entry_; }

  // The publisher sends no more through it.
  bool has_ended() const noexcept { return ended_; }
  void end() noexcept { ended_ = true; }
  // The publisher's next sequence, as far as we have seen.
  uint64_t expected() const noexcept { return expected_; }
  void expect(uint64_t sequence) noexcept { expected_ = sequence; }
  // Messages of the inbox's lane taken while this one's next had a gap before it.
  uint32_t passed_count() const noexcept { return passed_count_; }
  void pass() noexcept { ++passed_count_; }

 private:
  void set_in_hand(uint64_t in_hand) noexcept {
    in_hand_.store(in_hand, std::memory_order_relaxed);  // Relaxed: ours, as above.
    mark_->store(in_hand, std::memory_order_relaxed);    // Relaxed: for the supervisor, who only looks.
  }
  layout::ChunkHeader& at(uint32_t index) const noexcept {
    return *reinterpret_cast<layout::ChunkHeader*>(first_ + std::size_t{index} * stride_bytes_);
  }

  std::byte* first_ = nullptr;
  uint32_t stride_bytes_ = 0;
  uint32_t chunk_count_ = 0;
  uint32_t capacity_bytes_ = 0;
  uint32_t first_chunk_ = 0;
  uint32_t source_ = 0;
  uint32_t row_ = 0;
  uint32_t bit_ = 0;
  uint32_t priority_ = 0;
  bool ended_ = false;
  uint32_t passed_count_ = 0;
  uint64_t expected_ = 0;
  control::DirectEntry entry_{};
  std::atomic<uint32_t> cursor_{0};
  std::atomic<uint64_t> last_{0};  // Sequence of the last one taken here: what lies a lap behind is older.
  std::atomic<uint64_t>* mark_ = nullptr;
  std::atomic<uint64_t> in_hand_{0};  // Bit i: the message in chunk i. It comes once, whatever its header says.
};

class DirectInbox {
 public:
  DirectInbox(const memory::ChunkMap& map, layout::AgentBlock& block) noexcept : map_(map), block_(block) {}
  DirectInbox(const DirectInbox&) = delete;
  DirectInbox& operator=(const DirectInbox&) = delete;

  // Whether refresh() is due.
  bool changed() const noexcept {
    // A(direct). `waiting_`: an offer is put off until an earlier lane of its publisher is drained.
    return block_.front.direct_version.load(std::memory_order_acquire) != version_ || waiting_;
  }
  // Opens what was offered and notices what has ended. Returns the number of entries that make no sense, and
  // the publisher that the last of them names.
  uint32_t refresh(uint32_t& offender) noexcept;
  // Whether a lane of this priority ends here.
  bool serves(std::size_t priority) const noexcept { return (mask_ >> priority) & 1; }
  // Whether one of a more urgent priority does.
  bool has_above(std::size_t priority) const noexcept { return (mask_ & ((1u << priority) - 1)) != 0; }
  // Who is looked at first; null when none is open. Afterwards it is the next one's turn.
  DirectSource* first_in_turn() const noexcept { return open_count_ == 0 ? nullptr : open_[next_]; }
  void had_its_turn() noexcept {
    ++found_count_;
    next_ = next_ + 1 < open_count_ ? next_ + 1 : 0;
  }
  bool has_others() const noexcept { return open_count_ > 1; }
  // Whether a message that has a gap before it is preferred this time.
  bool is_late_turn() const noexcept { return has_others() && (found_count_ + 1) % kLateTurn == 0; }
  // Whether any publisher ever had a lane to us: then a sleeper brings the fence.
  static bool ever(const layout::AgentBlock& block) noexcept {
    // Relaxed: the caller has passed a fence since it armed its bell.
    return block.front.direct_version.load(std::memory_order_relaxed) != 0;
  }

  // The next message of a priority: one that is in order, else one that has a gap before it, else null.
  // Each source in its turn, and now and then one with a gap first.
  DirectSource* find(std::size_t priority, DirectSource::Found& found) noexcept;
  // One that this publisher and row sent with this priority, or null.
  DirectSource* find_from(std::size_t priority, uint32_t source, uint32_t row, DirectSource::Found& found) noexcept;
  // A message of this publisher was taken from the inbox's lane of the priority.
  void taken_elsewhere(std::size_t priority, uint32_t source, uint32_t row, uint64_t sequence) noexcept;
  bool has_mail() const noexcept;

 private:
  // One find in so many prefers a message that has a gap before it: others may be in order all the time.
  static constexpr uint32_t kLateTurn = 16;

  void drop_if_drained(DirectSource& source, std::size_t index) noexcept;
  bool may_open(uint32_t source, uint32_t row, uint64_t& expected) const noexcept;
  void list_open() noexcept;

  const memory::ChunkMap& map_;
  layout::AgentBlock& block_;
  std::array<DirectSource, layout::kDirectCount> sources_;
  std::array<DirectSource*, layout::kDirectCount> open_{};  // Those that are open, first `open_count_`.
  std::size_t open_count_ = 0;
  uint32_t version_ = 0;
  uint32_t mask_ = 0;  // Bit i: a lane of priority i.
  std::size_t next_ = 0;  // Who is looked at first: each in its turn.
  uint32_t found_count_ = 0;
  bool waiting_ = false;
};

}  // namespace ripstop::detail
