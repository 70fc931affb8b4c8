// Memory for routes in the control segment: immutable blocks of 64-byte units.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace ripstop::supervisor {

class RouteArena {
 public:
  // `unit_count` units; unit 0 is never given: it means "no route".
  explicit RouteArena(uint32_t unit_count);

  // A run of units; none when there is no room. Blocks retired more than 100 ms before `now_ns` are
  // used again: there is no timer, the next change looks.
  std::optional<uint32_t> allocate(uint32_t unit_count, uint64_t now_ns);

  // The block may still be read by somebody who has just found it.
  void retire(uint32_t unit, uint32_t unit_count, uint64_t now_ns);

  // Marks units that a route is found in, at a take-over. False when they are taken or out of bounds.
  bool claim(uint32_t unit, uint32_t unit_count);

  // When the oldest retired block can be used again; 0: none is retired.
  uint64_t next_reuse_ns() const noexcept;
  uint32_t free_count() const noexcept { return free_count_; }

 private:
  struct Retired {
    uint32_t unit;
    uint32_t unit_count;
    uint64_t at_ns;
  };
  void reclaim(uint64_t now_ns);
  std::optional<uint32_t> find_run(uint32_t unit_count) const noexcept;

  std::vector<bool> used_;
  std::deque<Retired> retired_;  // Oldest first.
  uint32_t free_count_;
  uint32_t search_from_ = 1;
};

}  // namespace ripstop::supervisor
