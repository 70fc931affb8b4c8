// The trie of patterns in the control segment, changed by path copy (layout/control_segment.h).
//
// A change is prepared beside the trie that is there: new nodes from the root to the pattern's place, in
// memory that nobody reads. The store of the new root commits it. Until then a kill leaves the old trie,
// and afterwards the new one; what has no root leading to it is free for the next supervisor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "layout/control_segment.h"
#include "supervisor/route_arena.h"

namespace ripstop::supervisor {

class PatternTrie {
 public:
  // Lifetime: `arena` and the memory it is for, which begins at `units`, outlive it.
  PatternTrie(std::byte* units, RouteArena& arena) noexcept : units_(units), arena_(arena) {}

  // The root of the trie below `root` with `route`, a PatternRoute, in the pattern's place, instead of the one
  // that has the same text; with 0: without it. Nothing when the arena has no room: then all is as it was.
  // `pattern` is canonical; `text` is its PatternText.
  std::optional<uint32_t> prepare(uint32_t root, std::string_view pattern, uint32_t text, uint32_t route, uint64_t now_ns);
  // What prepare() replaced is retired: its root has been stored.
  void commit(uint64_t now_ns);

  // Calls `on_unit(unit)` for each node and branch below `root`, and `on_route(unit, route)` for each route.
  void visit(uint32_t root, const std::function<void(uint32_t)>& on_unit,
             const std::function<void(uint32_t, const layout::PatternRoute&)>& on_route) const;

  // Writes into units that a slow reader may still be copying; it finds out afterwards.
  static void store_words(std::byte* to, const void* from, std::size_t bytes) noexcept;
  std::byte* place(uint32_t unit) const noexcept { return units_ + std::size_t{unit} * layout::kRouteUnitBytes; }

 private:
  struct Block {
    uint32_t unit;
    uint32_t unit_count;
  };
  // What is changed, and with what.
  struct Change {
    std::string_view rest;  // Tokens to come.
    uint32_t text;
    uint32_t route;
    uint64_t now_ns;
  };

  template <class T>
  T read(uint32_t unit) const noexcept;
  // A new block with that content, `bytes` of it; 0 and failed_ when there is no room.
  uint32_t write(const void* from, std::size_t bytes, uint64_t now_ns);
  void replace(uint32_t unit, uint32_t unit_count) { old_.push_back({unit, unit_count}); }

  // Each returns what stands for `reference` afterwards; 0: nothing is left there.
  uint32_t change_node(uint32_t reference, uint64_t token_hash, const Change& change);
  uint32_t change_literals(uint32_t reference, uint64_t token_hash, uint32_t depth, const Change& change);
  uint32_t change_routes(uint32_t reference, const Change& change);
  // A branch for two nodes whose hashes differ.
  uint32_t fork(uint32_t one, uint64_t one_hash, uint32_t other, uint64_t other_hash, uint32_t depth, uint64_t now_ns);

  std::byte* units_;
  RouteArena& arena_;
  std::vector<Block> fresh_;  // Of the change that is prepared.
  std::vector<Block> old_;
  bool failed_ = false;
};

}  // namespace ripstop::supervisor
