// Literals below a node are found by 4 bits of their hash after the other, so a node with many of them is
// copied in pieces of one unit each. A branch with one node left is that node again: a trie looks the same
// however it came about.
#include "supervisor/pattern_trie.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/name_hash.h"

namespace ripstop::supervisor {

namespace {

using layout::kPatternBranchBit;
using layout::PatternBranch;
using layout::PatternNode;
using layout::PatternRoute;

uint32_t unit_count_of(std::size_t bytes) noexcept {
  return static_cast<uint32_t>((bytes + layout::kRouteUnitBytes - 1) / layout::kRouteUnitBytes);
}

std::size_t slot_of(uint64_t hash, uint32_t depth) noexcept {
  return (hash >> (depth * layout::kPatternBranchBits)) & ((1u << layout::kPatternBranchBits) - 1);
}

bool is_empty(const PatternNode& node) noexcept {
  return node.literals == 0 && node.any == 0 && node.here == 0 && node.tail == 0;
}

}  // namespace

void PatternTrie::store_words(std::byte* to, const void* from, std::size_t bytes) noexcept {
  auto* out = reinterpret_cast<uint64_t*>(to);
  for (std::size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, static_cast<const std::byte*>(from) + i, std::min(sizeof word, bytes - i));
    __atomic_store_n(out++, word, __ATOMIC_RELAXED);  // Relaxed: the word that names the block releases them.
  }
}

template <class T>
T PatternTrie::read(uint32_t unit) const noexcept {
  T copy;
  std::memcpy(&copy, place(unit), sizeof copy);  // Only we write it.
  return copy;
}

uint32_t PatternTrie::write(const void* from, std::size_t bytes, uint64_t now_ns) {
  if (failed_) return 0;
  const uint32_t unit_count = unit_count_of(bytes);
  const auto unit = arena_.allocate(unit_count, now_ns);
  if (!unit) {
    failed_ = true;
    return 0;
  }
  fresh_.push_back({*unit, unit_count});
  store_words(place(*unit), from, bytes);
  return *unit;
}

std::optional<uint32_t> PatternTrie::prepare(uint32_t root, std::string_view pattern, uint32_t text, uint32_t route,
                                             uint64_t now_ns) {
  RIPSTOP_CHECK(fresh_.empty() && old_.empty());  // The last change was committed.
  failed_ = false;
  const uint32_t changed = change_node(root, 0, {pattern, text, route, now_ns});
  if (!failed_) return changed;
  for (const Block& block : fresh_) arena_.give_back(block.unit, block.unit_count);
  fresh_.clear();
  old_.clear();
  return std::nullopt;
}

void PatternTrie::commit(uint64_t now_ns) {
  for (const Block& block : old_) arena_.retire(block.unit, block.unit_count, now_ns);
  fresh_.clear();
  old_.clear();
}

uint32_t PatternTrie::change_node(uint32_t reference, uint64_t token_hash, const Change& change) {
  PatternNode node{};
  node.token_hash = token_hash;
  if (reference != 0) {
    node = read<PatternNode>(reference);
    replace(reference, 1);
  }
  Change next = change;
  const std::size_t dot = std::min(change.rest.find('.'), change.rest.size());
  const std::string_view token = change.rest.substr(0, dot);
  next.rest.remove_prefix(std::min(dot + 1, change.rest.size()));
  if (change.rest.empty()) {
    node.here = change_routes(node.here, change);
  } else if (token == "**") {
    node.tail = change_routes(node.tail, change);
  } else if (token == "*") {
    node.any = change_node(node.any, 0, next);
  } else {
    node.literals = change_literals(node.literals, base::name_hash(token), 0, next);
  }
  return is_empty(node) ? 0 : write(&node, sizeof node, change.now_ns);
}

uint32_t PatternTrie::change_literals(uint32_t reference, uint64_t token_hash, uint32_t depth, const Change& change) {
  if (reference == 0) return change_node(0, token_hash, change);
  if ((reference & kPatternBranchBit) == 0) {
    const uint64_t hash = read<PatternNode>(reference).token_hash;
    if (hash == token_hash) return change_node(reference, token_hash, change);
    const uint32_t node = change_node(0, token_hash, change);
    return node == 0 ? reference : fork(reference, hash, node, token_hash, depth, change.now_ns);
  }
  const uint32_t unit = reference & ~kPatternBranchBit;
  auto branch = read<PatternBranch>(unit);
  uint32_t& literal = branch.literals[slot_of(token_hash, depth)];
  literal = change_literals(literal, token_hash, depth + 1, change);
  replace(unit, 1);
  uint32_t last = 0;
  uint32_t count = 0;
  for (const uint32_t each : branch.literals) {
    if (each == 0) continue;
    last = each;
    ++count;
  }
  if (count == 0 || (count == 1 && (last & kPatternBranchBit) == 0)) return last;
  return write(&branch, sizeof branch, change.now_ns) | kPatternBranchBit;
}

uint32_t PatternTrie::fork(uint32_t one, uint64_t one_hash, uint32_t other, uint64_t other_hash, uint32_t depth,
                           uint64_t now_ns) {
  PatternBranch branch{};
  const std::size_t slot = slot_of(one_hash, depth);
  branch.literals[slot] = one;
  if (slot == slot_of(other_hash, depth)) {
    branch.literals[slot] = fork(one, one_hash, other, other_hash, depth + 1, now_ns);
  } else {
    branch.literals[slot_of(other_hash, depth)] = other;
  }
  return write(&branch, sizeof branch, now_ns) | kPatternBranchBit;
}

// The routes of a place are a list that is immutable too: the others are copied in front of ours.
uint32_t PatternTrie::change_routes(uint32_t reference, const Change& change) {
  uint32_t first = change.route;
  for (uint32_t unit = reference; unit != 0;) {
    const auto route = read<PatternRoute>(unit);
    replace(unit, route.unit_count);
    if (route.text != change.text) {
      const std::size_t bytes = sizeof route + route.receiver_count * sizeof(layout::RouteReceiver);
      std::vector<std::byte> copy(bytes);
      std::memcpy(copy.data(), place(unit), bytes);
      std::memcpy(copy.data() + offsetof(PatternRoute, next), &first, sizeof first);
      first = write(copy.data(), bytes, change.now_ns);
    }
    unit = route.next;
  }
  return first;
}

void PatternTrie::visit(uint32_t root, const std::function<void(uint32_t)>& on_unit,
                        const std::function<void(uint32_t, const PatternRoute&)>& on_route) const {
  std::vector<uint32_t> references;
  if (root != 0) references.push_back(root);
  const auto add = [&](uint32_t reference) {
    if (reference != 0) references.push_back(reference);
  };
  const auto visit_routes = [&](uint32_t unit) {
    while (unit != 0) {
      const auto route = read<PatternRoute>(unit);
      on_route(unit, route);
      unit = route.next;
    }
  };
  while (!references.empty()) {
    const uint32_t reference = references.back();
    references.pop_back();
    on_unit(reference & ~kPatternBranchBit);
    if ((reference & kPatternBranchBit) != 0) {
      for (const uint32_t each : read<PatternBranch>(reference & ~kPatternBranchBit).literals) add(each);
      continue;
    }
    const auto node = read<PatternNode>(reference);
    visit_routes(node.here);
    visit_routes(node.tail);
    add(node.any);
    add(node.literals);
  }
}

}  // namespace ripstop::supervisor
