// Remembers the last sequences of each publisher, to tell what is missing and what came again.
// Priorities overtake one another, so a gap may close again: a late message takes its loss back.
//
// Publishers are named by headers, which anybody can write: beyond kPublishersMax of them it forgets all
// and begins anew, so that names without end cost no memory without end.
#pragma once

#include <cstdint>
#include <vector>

namespace ripstop::detail {

class SequenceWindow {
 public:
  static constexpr std::size_t kPublishersMax = 16384;

  struct Verdict {
    int64_t lost_change;  // Sequences that are missing now and were not before; negative: one came late.
    bool duplicate;       // Seen before.
  };

  // The usual case, made short: the next one of the publisher that was seen last. False: ask see().
  bool is_next(uint64_t publisher, uint64_t sequence) noexcept {
    Entry& last = entries_[last_];
    if (last.publisher != publisher || sequence != last.highest + 1) return false;
    last.highest = sequence;
    last.seen = (last.seen << 1) | 1;
    return true;
  }

  // `publisher` names one publisher for its life; 0 is nobody. What it sent before its first message
  // here was never ours. A repetition more than 64 messages late counts as late, not as duplicate.
  Verdict see(uint64_t publisher, uint64_t sequence) {
    Entry* entry = &entries_[slot(publisher)];
    while (entry->publisher != publisher) {
      if (entry->publisher == 0) {
        if (count_ == kPublishersMax) {
          entries_.assign(entries_.size(), Entry{});
          count_ = 0;
          entry = &entries_[slot(publisher)];
        }
        *entry = {publisher, sequence, sequence, 1};
        if (++count_ * 2 > entries_.size()) grow();
        return {0, false};
      }
      entry = entry == &entries_.back() ? entries_.data() : entry + 1;
    }
    last_ = static_cast<std::size_t>(entry - entries_.data());
    if (sequence > entry->highest) {
      const uint64_t step = sequence - entry->highest;
      entry->highest = sequence;
      entry->seen = step < 64 ? (entry->seen << step) | 1 : 1;
      return {static_cast<int64_t>(step - 1), false};
    }
    if (sequence < entry->first) return {0, false};
    const uint64_t age = entry->highest - sequence;
    if (age >= 64) return {-1, false};
    const uint64_t bit = uint64_t{1} << age;
    if ((entry->seen & bit) != 0) return {0, true};
    entry->seen |= bit;
    return {-1, false};
  }

  // As if nothing had been seen.
  void forget() noexcept {
    entries_.assign(entries_.size(), Entry{});  // Takes no memory.
    count_ = 0;
  }

  std::size_t capacity() const noexcept { return entries_.size(); }

 private:
  struct Entry {
    uint64_t publisher = 0;
    uint64_t first = 0;
    uint64_t highest = 0;
    uint64_t seen = 0;  // Bit i: highest - i was seen.
  };

  std::size_t slot(uint64_t publisher) const noexcept {
    return (publisher * 0x9e3779b97f4a7c15u >> 32) & (entries_.size() - 1);
  }
  void grow() {
    std::vector<Entry> old(entries_.size() * 2);
    old.swap(entries_);
    for (const Entry& entry : old) {
      if (entry.publisher == 0) continue;
      std::size_t at = slot(entry.publisher);
      while (entries_[at].publisher != 0) at = (at + 1) & (entries_.size() - 1);
      entries_[at] = entry;
    }
  }

  std::vector<Entry> entries_ = std::vector<Entry>(16);
  std::size_t count_ = 0;
  std::size_t last_ = 0;  // The place of whom see() found last.
};

}  // namespace ripstop::detail
