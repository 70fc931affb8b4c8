// Memory for routes and patterns in the control segment: immutable blocks of 64-byte units.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace ripstop::supervisor {

class RouteArena {
 public:
  // `unit_count` units; unit 0 is never given: it means "none".
  explicit RouteArena(uint32_t unit_count);

  // A run of units; none when there is no room. Blocks retired more than 100 ms before `now_ns` are
  // used again: there is no timer, the next change looks.
  std::optional<uint32_t> allocate(uint32_t unit_count, uint64_t now_ns);

  // The block may still be read by somebody who has just found it.
  void retire(uint32_t unit, uint32_t unit_count, uint64_t now_ns);

  // Nobody has ever found the block.
  void give_back(uint32_t unit, uint32_t unit_count);

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
  void mark(uint32_t unit, uint32_t unit_count, bool used) noexcept;
  // The first unit from `unit` on that is used, or that is free; the arena's end when there is none.
  uint32_t find(uint32_t unit, bool used) const noexcept;
  std::optional<uint32_t> find_run(uint32_t unit_count) const noexcept;
  std::optional<uint32_t> find_highest() const noexcept;

  uint32_t unit_count_;
  std::vector<uint64_t> used_;   // A bit each; those behind the end are used.
  std::deque<Retired> retired_;  // Oldest first.
  uint32_t free_count_;
  uint32_t search_from_ = 1;
  uint32_t highest_;  // No unit above is free.
};

}  // namespace ripstop::supervisor
