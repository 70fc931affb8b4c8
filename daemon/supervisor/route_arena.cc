// Over a bitmap, a word at a time. Runs go next fit from the low end; single units, which most of the
// patterns' trie is made of, are the highest that is free, so that they do not lie between the runs.
#include "supervisor/route_arena.h"

#include <algorithm>
#include <bit>

namespace ripstop::supervisor {

namespace {
// A reader that takes longer than this to copy a route sees that it changed, and copies again.
constexpr uint64_t kReuseAfterNs = 100'000'000;
}  // namespace

RouteArena::RouteArena(uint32_t unit_count)
    : unit_count_(std::max(unit_count, 1u)),
      used_((unit_count_ + 63) / 64, 0),
      free_count_(unit_count_ - 1),
      highest_(unit_count_ - 1) {
  used_[0] |= 1;
  for (uint32_t unit = unit_count_; unit < used_.size() * 64; ++unit) used_[unit / 64] |= uint64_t{1} << (unit % 64);
}

uint32_t RouteArena::find(uint32_t unit, bool used) const noexcept {
  if (unit >= unit_count_) return unit_count_;
  uint64_t skipped = ~uint64_t{0} << (unit % 64);
  for (std::size_t i = unit / 64; i < used_.size(); ++i, skipped = ~uint64_t{0}) {
    const uint64_t wanted = (used ? used_[i] : ~used_[i]) & skipped;
    if (wanted != 0) return std::min(static_cast<uint32_t>(i * 64) + static_cast<uint32_t>(std::countr_zero(wanted)), unit_count_);
  }
  return unit_count_;
}

std::optional<uint32_t> RouteArena::find_run(uint32_t unit_count) const noexcept {
  for (const uint32_t start : {search_from_, 1u}) {
    for (uint32_t unit = find(start, false); unit < unit_count_;) {
      const uint32_t end = find(unit, true);
      if (end - unit >= unit_count) return unit;
      unit = find(end, false);
    }
  }
  return std::nullopt;
}

std::optional<uint32_t> RouteArena::find_highest() const noexcept {
  uint64_t skipped = ~uint64_t{0} >> (63 - highest_ % 64);
  for (std::size_t i = highest_ / 64 + 1; i-- > 0; skipped = ~uint64_t{0}) {
    const uint64_t free = ~used_[i] & skipped;
    if (free != 0) return static_cast<uint32_t>(i * 64) + 63 - static_cast<uint32_t>(std::countl_zero(free));
  }
  return std::nullopt;
}

void RouteArena::mark(uint32_t unit, uint32_t unit_count, bool used) noexcept {
  for (uint32_t i = unit; i < unit + unit_count; ++i) {
    const uint64_t bit = uint64_t{1} << (i % 64);
    used_[i / 64] = used ? used_[i / 64] | bit : used_[i / 64] & ~bit;
  }
}

std::optional<uint32_t> RouteArena::allocate(uint32_t unit_count, uint64_t now_ns) {
  reclaim(now_ns);
  if (unit_count == 0 || unit_count > free_count_) return std::nullopt;
  const auto unit = unit_count == 1 ? find_highest() : find_run(unit_count);
  if (!unit) return std::nullopt;
  mark(*unit, unit_count, true);
  free_count_ -= unit_count;
  if (unit_count == 1) {
    highest_ = *unit;
  } else {
    search_from_ = *unit + unit_count;
  }
  return unit;
}

void RouteArena::retire(uint32_t unit, uint32_t unit_count, uint64_t now_ns) {
  retired_.push_back({unit, unit_count, now_ns});
}

void RouteArena::give_back(uint32_t unit, uint32_t unit_count) {
  mark(unit, unit_count, false);
  free_count_ += unit_count;
  highest_ = std::max(highest_, unit + unit_count - 1);
}

bool RouteArena::claim(uint32_t unit, uint32_t unit_count) {
  if (unit == 0 || unit_count == 0 || unit_count > unit_count_ || unit > unit_count_ - unit_count) return false;
  if (find(unit, true) < unit + unit_count) return false;
  mark(unit, unit_count, true);
  free_count_ -= unit_count;
  return true;
}

uint64_t RouteArena::next_reuse_ns() const noexcept {
  return retired_.empty() ? 0 : retired_.front().at_ns + kReuseAfterNs;
}

void RouteArena::reclaim(uint64_t now_ns) {
  while (!retired_.empty() && retired_.front().at_ns + kReuseAfterNs <= now_ns) {
    const Retired block = retired_.front();
    retired_.pop_front();
    give_back(block.unit, block.unit_count);
  }
}

}  // namespace ripstop::supervisor
