// The order of a change: the pattern's receivers and the new nodes are written where nobody looks, one
// store switches the root, the old blocks are retired; then the epochs move.
//
// Edges.  R(route) -> A(route)  the trie's bytes, supervisor to publisher.
#include "supervisor/pattern_book.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "control/pattern_view.h"

namespace ripstop::supervisor {

namespace {

// Left free by new patterns, so that old ones can be taken out: a change of the trie copies before it frees.
constexpr uint32_t kUnitsToSpare = 64;

uint32_t unit_count_of(std::size_t bytes) noexcept {
  return static_cast<uint32_t>((bytes + layout::kRouteUnitBytes - 1) / layout::kRouteUnitBytes);
}

uint32_t text_unit(uint32_t topic_id) noexcept { return topic_id & ~layout::kPatternFlag; }

}  // namespace

PatternBook::PatternBook(const SegmentManager& segments, RouteArena& arena, ReceiversOf receivers_of, MoveEpochs move_epochs)
    : super_(segments.superblock()),
      arena_(arena),
      trie_(segments.control_data() + super_.routes_offset, arena),
      receivers_of_(std::move(receivers_of)),
      move_epochs_(std::move(move_epochs)) {}

uint32_t PatternBook::root() const noexcept {
  return static_cast<uint32_t>(super_.pattern_root.load(std::memory_order_relaxed));  // Relaxed: only we write it.
}

std::optional<uint32_t> PatternBook::open(std::string_view pattern) {
  const std::string text(pattern);
  if (const auto found = ids_.find(text); found != ids_.end()) return found->second;
  std::vector<std::byte> block(sizeof(layout::PatternText) + text.size());
  const layout::PatternText header{static_cast<uint32_t>(text.size()), unit_count_of(block.size())};
  std::memcpy(block.data(), &header, sizeof header);
  std::memcpy(block.data() + sizeof header, text.data(), text.size());
  const auto unit = arena_.allocate(header.unit_count, base::monotonic_ns());
  if (!unit) return std::nullopt;
  if (arena_.free_count() < kUnitsToSpare) {
    arena_.give_back(*unit, header.unit_count);
    return std::nullopt;
  }
  // The word of the first subscription that names it publishes it.
  PatternTrie::store_words(trie_.place(*unit), block.data(), block.size());
  const uint32_t topic_id = layout::kPatternFlag | *unit;
  patterns_[topic_id].text = text;
  ids_[text] = topic_id;
  return topic_id;
}

void PatternBook::close(uint32_t topic_id) {
  const auto found = patterns_.find(topic_id);
  if (found == patterns_.end() || !found->second.subscriptions.empty() || found->second.in_trie || found->second.stale) return;
  const uint32_t unit_count = unit_count_of(sizeof(layout::PatternText) + found->second.text.size());
  arena_.retire(text_unit(topic_id), unit_count, base::monotonic_ns());
  ids_.erase(found->second.text);
  patterns_.erase(found);
}

std::optional<uint32_t> PatternBook::write_route(uint32_t topic_id, const Receivers& receivers, uint64_t now_ns) {
  if (receivers.empty()) return 0;
  const std::size_t receivers_bytes = receivers.size() * sizeof receivers[0];
  const uint32_t unit_count = unit_count_of(sizeof(layout::PatternRoute) + receivers_bytes);
  const auto unit = arena_.allocate(unit_count, now_ns);
  if (!unit) return std::nullopt;
  const layout::PatternRoute route{text_unit(topic_id), static_cast<uint32_t>(receivers.size()), unit_count, 0, {}};
  PatternTrie::store_words(trie_.place(*unit), &route, sizeof route);
  PatternTrie::store_words(trie_.place(*unit) + sizeof route, receivers.data(), receivers_bytes);
  return unit;
}

bool PatternBook::write(uint32_t topic_id, Pattern& pattern) {
  const Receivers receivers = receivers_of_(pattern.subscriptions);
  if (receivers.empty() && !pattern.in_trie) return true;
  const uint64_t now_ns = base::monotonic_ns();
  const auto route = write_route(topic_id, receivers, now_ns);
  if (!route) return false;
  const auto changed = trie_.prepare(root(), pattern.text, text_unit(topic_id), *route, now_ns);
  if (!changed) {
    if (*route != 0) arena_.give_back(*route, unit_count_of(sizeof(layout::PatternRoute) + receivers.size() * sizeof receivers[0]));
    return false;
  }
  // Relaxed: only we write it.
  const uint64_t version = (super_.pattern_root.load(std::memory_order_relaxed) >> 32) + 1;
  super_.pattern_root.store(version << 32 | *changed, std::memory_order_release);  // R(route)
  trie_.commit(base::monotonic_ns());
  pattern.in_trie = *route != 0;
  return true;
}

bool PatternBook::publish(uint32_t topic_id) {
  Pattern& pattern = patterns_.at(topic_id);
  const bool written = write(topic_id, pattern);
  move_epochs_(pattern.text);  // In any case: one of the receivers may be dead.
  if (!written) return false;
  if (std::exchange(pattern.stale, false)) std::erase(stale_, topic_id);
  while (!stale_.empty()) {
    const uint32_t late_id = stale_.back();
    Pattern& late = patterns_.at(late_id);
    if (!write(late_id, late)) break;
    move_epochs_(late.text);
    late.stale = false;
    stale_.pop_back();
    close(late_id);
  }
  return true;
}

void PatternBook::mend_later(uint32_t topic_id) {
  const auto found = patterns_.find(topic_id);
  if (found == patterns_.end() || std::exchange(found->second.stale, true)) return;
  stale_.push_back(topic_id);
}

void PatternBook::restore(uint32_t topic_id, uint32_t subscription_id) {
  Pattern& pattern = patterns_[topic_id];
  if (pattern.subscriptions.empty()) {
    const auto* header = reinterpret_cast<const layout::PatternText*>(trie_.place(text_unit(topic_id)));
    pattern.text.assign(reinterpret_cast<const char*>(header + 1), header->text_bytes);
    ids_[pattern.text] = topic_id;
    arena_.claim(text_unit(topic_id), header->unit_count);
  }
  pattern.subscriptions.push_back(subscription_id);
}

std::vector<uint32_t> PatternBook::finish_restore() {
  for (auto& [topic_id, pattern] : patterns_) std::reverse(pattern.subscriptions.begin(), pattern.subscriptions.end());
  std::vector<uint32_t> torn;
  const auto on_route = [&](uint32_t unit, const layout::PatternRoute& route) {
    arena_.claim(unit, route.unit_count);
    const uint32_t topic_id = layout::kPatternFlag | route.text;
    Pattern& pattern = patterns_[topic_id];
    pattern.in_trie = true;
    if (pattern.text.empty()) {  // Its last subscription has ended, and a kill came before the trie knew.
      const auto* header = reinterpret_cast<const layout::PatternText*>(trie_.place(route.text));
      pattern.text.assign(reinterpret_cast<const char*>(header + 1), header->text_bytes);
      ids_[pattern.text] = topic_id;
      arena_.claim(route.text, header->unit_count);
    }
    const Receivers wanted = receivers_of_(pattern.subscriptions);
    const bool same = wanted.size() == route.receiver_count &&
                      std::memcmp(trie_.place(unit) + sizeof route, wanted.data(), wanted.size() * sizeof(layout::RouteReceiver)) == 0;
    if (!same) torn.push_back(topic_id);
  };
  trie_.visit(root(), [&](uint32_t unit) { arena_.claim(unit, 1); }, on_route);
  for (const auto& [topic_id, pattern] : patterns_) {
    if (!pattern.in_trie && !receivers_of_(pattern.subscriptions).empty()) torn.push_back(topic_id);
  }
  return torn;
}

}  // namespace ripstop::supervisor
