#include "agent/direct_inbox.h"

#include "base/cache_line.h"
#include "memory/holders.h"

namespace ripstop::detail {

using layout::ChunkHeader;
using layout::DirectState;
using layout::DirectWord;

namespace {

base::Pair read(const base::AtomicPair& entry) noexcept {
  base::Pair word{entry.low.load(std::memory_order_acquire), 0};  // A(direct)
  for (int tries = 0; tries < 64; ++tries) {
    word.high = entry.high.load(std::memory_order_acquire);                // A(direct)
    const uint64_t again = entry.low.load(std::memory_order_acquire);  // A(direct)
    if (again == word.low) break;
    word.low = again;
  }
  return word;
}

// What tells a message of a lane from whatever else the chunk may hold by now.
struct Marks {
  uint64_t sequence;
  uint32_t source;
  uint8_t row;
  uint8_t flags;
};

// The chunk may leave this life while it is copied; the copy counts only if the holders say the same
// afterwards. So ThreadSanitizer does not see it.
__attribute__((no_sanitize("thread"))) Marks read_marks(const ChunkHeader& header) noexcept {
  return {header.sequence, header.source, header.publisher_row, header.flags};
}

}  // namespace

bool DirectSource::open(const memory::ChunkMap& map, base::Pair entry) noexcept {
  const DirectWord word = layout::unpack_direct(entry.low);
  const auto first_chunk = static_cast<layout::ChunkId>(word.slab << layout::kSlabIndexBits);
  ChunkHeader* first = map.find(first_chunk);
  if (first == nullptr || word.lane >= layout::kLaneCount || word.bit >= layout::kDeliveryCount) return false;
  const memory::SlabPlace& place = map.slab_of(first_chunk);
  if (word.start >= place.chunk_count) return false;
  first_ = place.first;
  stride_bytes_ = place.stride_bytes;
  chunk_count_ = place.chunk_count;
  capacity_bytes_ = map.payload_bytes(place.class_index);
  first_chunk_ = first_chunk;
  source_ = static_cast<uint32_t>(entry.high);
  row_ = word.row;
  bit_ = word.bit;
  lane_ = word.lane;
  word_ = entry;
  cursor_.store(word.start, std::memory_order_relaxed);  // Relaxed: has_mail() is excluded by the caller's lock.
  last_.store(0, std::memory_order_relaxed);             // Relaxed: as above.
  expected_ = 0;
  passed = 0;
  ended = word.state == DirectState::Ended;
  return true;
}

bool DirectSource::look(Found& found) const noexcept {
  const uint32_t cursor = cursor_.load(std::memory_order_relaxed);  // Relaxed: the receiving thread's.
  ChunkHeader& header = at(cursor);
  const uint64_t mask = uint64_t{1} << bit_;
  if ((header.holders.high.load(std::memory_order_acquire) & mask) == 0) return false;  // A(commit)
  const uint64_t generation = header.holders.low.load(std::memory_order_acquire);       // A(commit)
  const Marks marks = read_marks(header);
  if ((marks.flags & layout::kFlagDirect) == 0 || marks.source != source_ || marks.row != row_) return false;
  // Relaxed: ours. A message that we have in hand since the last lap is no new one.
  if (marks.sequence <= last_.load(std::memory_order_relaxed)) return false;
  std::atomic_thread_fence(std::memory_order_acquire);  // A(commit): the marks were read before what validates them.
  // Relaxed: ordered by the fence above. Our bit stays until we release it.
  if ((header.holders.high.load(std::memory_order_relaxed) & mask) == 0 ||
      header.holders.low.load(std::memory_order_relaxed) != generation) {
    return false;
  }
  found = {&header, generation, marks.sequence};
  return true;
}

void DirectSource::prefetch() const noexcept {
  const uint32_t ahead = cursor_.load(std::memory_order_relaxed) + kFetchedAhead;  // Relaxed: ours.
  const auto* line = reinterpret_cast<const std::byte*>(&at(ahead < chunk_count_ ? ahead : ahead - chunk_count_));
  base::prefetch_for_write(line);
  base::prefetch_for_read(line + layout::kChunkHeaderBytes);
}

bool DirectSource::has_any() const noexcept {
  const uint64_t mask = uint64_t{1} << bit_;
  for (uint32_t index = 0; index < chunk_count_; ++index) {
    const ChunkHeader& header = at(index);
    if ((header.holders.high.load(std::memory_order_acquire) & mask) == 0) continue;  // A(commit)
    const Marks marks = read_marks(header);
    if ((marks.flags & layout::kFlagDirect) != 0 && marks.source == source_ && marks.row == row_) return true;
  }
  return false;
}

bool DirectInbox::may_open(uint32_t source, uint32_t row, uint64_t& expected) const noexcept {
  for (const DirectSource& other : sources_) {
    if (!other.is_open() || !other.is_from(source, row)) continue;
    DirectSource::Found found;
    // What is taken of it and not released stays valid; what is not taken goes first.
    if (!other.ended || other.look(found)) return false;
    if (other.expected_ > expected) expected = other.expected_;
  }
  return true;
}

uint32_t DirectInbox::refresh() noexcept {
  uint32_t corrupt_count = 0;
  version_ = block_.front.direct_version.load(std::memory_order_acquire);  // A(direct)
  waiting_ = false;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    DirectSource& source = sources_[i];
    const base::Pair word = read(block_.direct[i]);
    const DirectState state = layout::unpack_direct(word.low).state;
    if (source.is_open()) {
      if (state == DirectState::Ended) source.ended = true;
      if (source.ended) drop_if_drained(source, i);
      continue;
    }
    if (state == DirectState::Free) continue;
    uint64_t expected = 0;
    if (!may_open(static_cast<uint32_t>(word.high), layout::unpack_direct(word.low).row, expected)) {
      waiting_ = true;
      continue;
    }
    if (!source.open(map_, word)) {
      ++corrupt_count;
      base::Pair entry = word;
      (void)block_.direct[i].compare_exchange(entry, {0, 0});  // R(direct). Failure: it changed, and is seen next time.
      continue;
    }
    source.expected_ = expected;
    if (source.ended) drop_if_drained(source, i);
  }
  list_open();
  return corrupt_count;
}

void DirectInbox::drop_if_drained(DirectSource& source, std::size_t index) noexcept {
  if (source.has_any()) return;
  layout::DirectWord word = layout::unpack_direct(source.word().low);
  word.state = DirectState::Ended;
  base::Pair expected{layout::pack(word), source.word().high};
  (void)block_.direct[index].compare_exchange(expected, {0, 0});  // R(direct). Failure: it is not our entry any more.
  source.close();
  list_open();
}

void DirectInbox::list_open() noexcept {
  mask_ = 0;
  open_count_ = 0;
  next_ = 0;
  for (DirectSource& source : sources_) {
    if (!source.is_open()) continue;
    mask_ |= 1u << source.lane();
    open_[open_count_++] = &source;
  }
}

DirectSource* DirectInbox::find(std::size_t lane, DirectSource::Found& found) noexcept {
  DirectSource* late = nullptr;
  DirectSource::Found late_found;
  for (std::size_t i = 0; i < open_count_; ++i) {
    const std::size_t index = next_ + i < open_count_ ? next_ + i : next_ + i - open_count_;
    DirectSource& source = *open_[index];
    if (source.lane() != lane || !source.look(found)) continue;
    if (source.in_order(found)) {
      next_ = index + 1 < open_count_ ? index + 1 : 0;
      return &source;
    }
    if (late != nullptr) continue;
    late = &source;
    late_found = found;
  }
  if (late != nullptr) found = late_found;
  return late;
}

DirectSource* DirectInbox::from(std::size_t lane, uint32_t source, uint32_t row) noexcept {
  for (DirectSource& each : sources_) {
    if (each.is_open() && each.lane() == lane && each.is_from(source, row)) return &each;
  }
  return nullptr;
}

void DirectInbox::taken_elsewhere(uint32_t source, uint32_t row, uint64_t sequence) noexcept {
  for (DirectSource& each : sources_) {
    if (each.is_open() && each.is_from(source, row)) each.taken_elsewhere(sequence);
  }
}

bool DirectInbox::has_mail() const noexcept {
  DirectSource::Found found;
  for (const DirectSource& source : sources_) {
    if (source.is_open() && source.look(found)) return true;
  }
  return changed();
}

}  // namespace ripstop::detail
