// Next fit over a bitmap: routes are a few units, the arena is five times what all routes together
// can need, and subscriptions change seldom beside messages.
#include "supervisor/route_arena.h"

#include <algorithm>

namespace ripstop::supervisor {

namespace {
// A reader that takes longer than this to copy a route sees that it changed, and copies again.
constexpr uint64_t kReuseAfterNs = 100'000'000;
}  // namespace

RouteArena::RouteArena(uint32_t unit_count) : used_(std::max(unit_count, 1u), false), free_count_(unit_count) {
  used_[0] = true;
  if (free_count_ > 0) --free_count_;
}

std::optional<uint32_t> RouteArena::find_run(uint32_t unit_count) const noexcept {
  const auto size = static_cast<uint32_t>(used_.size());
  for (const uint32_t start : {search_from_, 1u}) {
    uint32_t run = 0;
    for (uint32_t unit = start; unit < size; ++unit) {
      run = used_[unit] ? 0 : run + 1;
      if (run == unit_count) return unit + 1 - unit_count;
    }
  }
  return std::nullopt;
}

std::optional<uint32_t> RouteArena::allocate(uint32_t unit_count, uint64_t now_ns) {
  reclaim(now_ns);
  const auto unit = find_run(unit_count);
  if (!unit || unit_count == 0) return std::nullopt;
  claim(*unit, unit_count);
  search_from_ = *unit + unit_count;
  return unit;
}

void RouteArena::retire(uint32_t unit, uint32_t unit_count, uint64_t now_ns) {
  retired_.push_back({unit, unit_count, now_ns});
}

bool RouteArena::claim(uint32_t unit, uint32_t unit_count) {
  if (unit == 0 || unit_count > used_.size() || unit > used_.size() - unit_count) return false;
  const auto first = used_.begin() + unit;
  if (std::find(first, first + unit_count, true) != first + unit_count) return false;
  std::fill(first, first + unit_count, true);
  free_count_ -= unit_count;
  return true;
}

uint64_t RouteArena::next_reuse_ns() const noexcept {
  return retired_.empty() ? 0 : retired_.front().at_ns + kReuseAfterNs;
}

void RouteArena::reclaim(uint64_t now_ns) {
  while (!retired_.empty() && retired_.front().at_ns + kReuseAfterNs <= now_ns) {
    const Retired& block = retired_.front();
    std::fill(used_.begin() + block.unit, used_.begin() + block.unit + block.unit_count, false);
    free_count_ += block.unit_count;
    retired_.pop_front();
  }
}

}  // namespace ripstop::supervisor
