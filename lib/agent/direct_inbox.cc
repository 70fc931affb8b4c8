#include "agent/direct_inbox.h"

#include <algorithm>

#include "base/cache_line.h"
#include "memory/holders.h"

namespace ripstop::detail {

using layout::ChunkHeader;
using layout::DirectState;

bool DirectSource::open(const memory::ChunkMap& map, const control::DirectEntry& entry, std::atomic<uint64_t>& mark) noexcept {
  const layout::DirectWord& word = entry.word;
  const auto first_chunk = static_cast<layout::ChunkId>(word.slab << layout::kSlabIndexBits);
  const ChunkHeader* first = map.find(first_chunk);
  if (first == nullptr || word.lane >= layout::kLaneCount || word.bit >= layout::kDeliveryCount) return false;
  const memory::SlabPlace& place = map.slab_of(first_chunk);
  if (word.start >= place.chunk_count) return false;
  first_ = place.first;
  stride_bytes_ = place.stride_bytes;
  chunk_count_ = place.chunk_count;
  capacity_bytes_ = map.payload_bytes(place.class_index);
  first_chunk_ = first_chunk;
  source_ = entry.source;
  row_ = word.row;
  bit_ = word.bit;
  priority_ = word.lane;
  entry_ = entry;
  cursor_.store(word.start, std::memory_order_relaxed);  // Relaxed: has_mail() is excluded by the caller's lock.
  last_.store(0, std::memory_order_relaxed);             // Relaxed: as above.
  mark_ = &mark;
  set_in_hand(0);
  expected_ = 0;
  passed_count_ = 0;
  ended_ = word.state == DirectState::Ended;
  return true;
}

void DirectSource::prefetch(uint32_t ahead) const noexcept {
  uint32_t index = cursor_.load(std::memory_order_relaxed) + ahead;  // Relaxed: ours.
  if (index >= chunk_count_) index -= chunk_count_;
  const auto* line = reinterpret_cast<const std::byte*>(&at(index));
  base::prefetch_for_write(line);
  base::prefetch_for_read(line + layout::kChunkHeaderBytes);
}

bool DirectSource::has_any(const memory::ChunkMap& map) const noexcept {
  bool any = false;
  (void)control::for_each_direct(map, entry_, [&](layout::ChunkId, const control::DirectCopy& copy) {
    any = any || control::has_bit(copy, bit_);
  });
  return any;
}

bool DirectInbox::may_open(uint32_t source, uint32_t row, uint64_t& expected) const noexcept {
  for (const DirectSource& other : sources_) {
    if (!other.is_open() || !other.is_from(source, row)) continue;
    DirectSource::Found found;
    // What is taken of it and not released stays valid; what is not taken goes first.
    if (!other.has_ended() || other.look(found)) return false;
    expected = std::max(expected, other.expected());
  }
  return true;
}

uint32_t DirectInbox::refresh(uint32_t& offender) noexcept {
  uint32_t corrupt_count = 0;
  version_ = block_.front.direct_version.load(std::memory_order_acquire);  // A(direct)
  waiting_ = false;
  // What has ended first: it may be what an offer waits for.
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    DirectSource& source = sources_[i];
    if (!source.is_open()) continue;
    if (control::read_direct(block_.direct[i]).word.state == DirectState::Ended) source.end();
    if (source.has_ended()) drop_if_drained(source, i);
  }
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    DirectSource& source = sources_[i];
    const control::DirectEntry entry = control::read_direct(block_.direct[i]);
    if (source.is_open() || entry.word.state == DirectState::Free) continue;
    uint64_t expected = 0;
    if (!may_open(entry.source, entry.word.row, expected)) {
      waiting_ = true;
      continue;
    }
    if (!source.open(map_, entry, block_.direct_in_hand[i])) {
      ++corrupt_count;
      offender = entry.source;
      base::Pair word = entry.pair;
      (void)block_.direct[i].compare_exchange(word, {0, 0});  // R(direct). Failure: it changed, and is seen next time.
      continue;
    }
    source.expect(expected);
    if (source.has_ended()) drop_if_drained(source, i);
  }
  list_open();
  return corrupt_count;
}

void DirectInbox::drop_if_drained(DirectSource& source, std::size_t index) noexcept {
  if (source.has_any(map_)) return;
  const control::DirectEntry& entry = source.entry();
  layout::DirectWord word = entry.word;
  word.state = DirectState::Ended;
  base::Pair expected{layout::pack(word), entry.pair.high};
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
    mask_ |= 1u << source.priority();
    open_[open_count_++] = &source;
  }
}

DirectSource* DirectInbox::find(std::size_t priority, DirectSource::Found& found) noexcept {
  const bool late_first = ++found_count_ % kLateTurn == 0;
  DirectSource* chosen = nullptr;
  bool chosen_preferred = false;
  for (std::size_t i = 0; i < open_count_; ++i) {
    const std::size_t index = next_ + i < open_count_ ? next_ + i : next_ + i - open_count_;
    DirectSource& source = *open_[index];
    DirectSource::Found here;
    if (source.priority() != priority || !source.look(here)) continue;
    const bool preferred = source.in_order(here) != late_first;
    if (chosen != nullptr && (chosen_preferred || !preferred)) continue;
    chosen = &source;
    chosen_preferred = preferred;
    found = here;
    if (!preferred) continue;
    next_ = index + 1 < open_count_ ? index + 1 : 0;
    break;
  }
  return chosen;
}

DirectSource* DirectInbox::find_from(std::size_t priority, uint32_t source, uint32_t row,
                                     DirectSource::Found& found) noexcept {
  // One that has ended may stand beside its successor, which opens when there is nothing more to take of it.
  for (std::size_t i = 0; i < open_count_; ++i) {
    DirectSource& each = *open_[i];
    if (each.priority() == priority && each.is_from(source, row) && each.look(found)) return &each;
  }
  return nullptr;
}

void DirectInbox::taken_elsewhere(std::size_t priority, uint32_t source, uint32_t row, uint64_t sequence) noexcept {
  for (std::size_t i = 0; i < open_count_; ++i) {
    DirectSource& each = *open_[i];
    if (each.priority() == priority && each.is_from(source, row)) each.expect(sequence + 1);
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
