// A topic of n tokens meets at most 2^n places of the trie, and not more than there are. Two tokens of the
// same hash lead to the same place, so the text of a pattern decides, once, where its receivers are copied.
//
// Edges.  R(route) -> A(route)  the trie's bytes, supervisor to publisher; in control_view.h.
#include "control/pattern_view.h"

#include <algorithm>
#include <array>
#include <tuple>

#include "base/name_hash.h"
#include "control/topic_grammar.h"

namespace ripstop::control {

namespace {

using layout::RouteReceiver;

// A supervisor that changes patterns as fast as it can replaces the root every few microseconds.
constexpr int kCopyTries = 64;

// A canonical pattern has as many bytes as a topic, at most.
class Text {
 public:
  // False: it lies outside.
  bool copy(const ControlView& view, uint32_t unit) noexcept {
    const std::byte* place = view.route_units(unit, 1);
    if (place == nullptr) return false;
    layout::PatternText header;
    ControlView::copy_words(&header, place, sizeof header);
    const uint64_t bytes = sizeof header + header.text_bytes;
    if (header.text_bytes == 0 || header.text_bytes > kTopicBytesMax) return false;
    if (view.route_units(unit, (bytes + layout::kRouteUnitBytes - 1) / layout::kRouteUnitBytes) == nullptr) return false;
    ControlView::copy_words(text_, place + sizeof header, (header.text_bytes + 7) / 8 * 8);
    bytes_ = header.text_bytes;
    return true;
  }
  std::string_view get() const noexcept { return {text_, bytes_}; }

 private:
  char text_[kTopicBytesMax + 1];
  std::size_t bytes_ = 0;
};

// One walk through the trie below one root.
class Walk {
 public:
  explicit Walk(const ControlView& view) noexcept : view_(view), routes_left_(view.subscription_capacity()) {}

  template <class T>
  bool copy(uint32_t unit, T& to) const noexcept {
    static_assert(sizeof(T) <= layout::kRouteUnitBytes);
    const std::byte* place = view_.route_units(unit, 1);
    if (place != nullptr) ControlView::copy_words(&to, place, sizeof to);
    return place != nullptr;
  }

  // Where the PatternNode below a literal of that hash is, if there is one: another may lie there alone.
  bool find_literal(uint32_t reference, uint64_t hash, uint32_t& unit) const noexcept {
    unit = 0;
    for (uint32_t depth = 0; (reference & layout::kPatternBranchBit) != 0; ++depth) {
      layout::PatternBranch branch;
      if (depth == layout::kPatternBranchDepthMax || !copy(reference & ~layout::kPatternBranchBit, branch)) return false;
      reference = branch.literals[hash & (std::size(branch.literals) - 1)];
      hash >>= layout::kPatternBranchBits;
    }
    unit = reference;
    return true;
  }

  // Calls `each(text, receivers)` for the routes of one place; `receivers` may be read by copy_words().
  template <class Each>
  bool for_each_route(uint32_t unit, Each each) {
    for (; unit != 0; --routes_left_) {
      layout::PatternRoute route;
      if (routes_left_ == 0 || !copy(unit, route) || !text_.copy(view_, route.text)) return false;
      const uint64_t bytes = sizeof route + uint64_t{route.receiver_count} * sizeof(RouteReceiver);
      const std::byte* place = view_.route_units(unit, (bytes + layout::kRouteUnitBytes - 1) / layout::kRouteUnitBytes);
      if (place == nullptr) return false;
      each(text_.get(), place + sizeof route, route.receiver_count);
      unit = route.next;
    }
    return true;
  }

  bool collect(uint32_t root, std::string_view topic, std::vector<RouteReceiver>& receivers);
  bool list(uint32_t root, std::vector<PatternReceivers>& patterns);

 private:
  bool list_routes(uint32_t unit, std::vector<PatternReceivers>& patterns);

  const ControlView& view_;
  uint32_t routes_left_;  // Each has a subscription.
  Text text_;
};

void append(std::vector<RouteReceiver>& receivers, const std::byte* place, uint32_t count) {
  const std::size_t before = receivers.size();
  receivers.resize(before + count);
  ControlView::copy_words(receivers.data() + before, place, count * sizeof(RouteReceiver));
}

bool Walk::collect(uint32_t root, std::string_view topic, std::vector<RouteReceiver>& receivers) {
  std::array<uint64_t, kTopicTokensMax> hashes;
  std::size_t token_count = 0;
  for (std::size_t begin = 0; begin <= topic.size() && token_count < hashes.size(); ++token_count) {
    const std::size_t end = std::min(topic.find('.', begin), topic.size());
    hashes[token_count] = base::name_hash(topic.substr(begin, end - begin));
    begin = end + 1;
  }
  struct Place {
    uint32_t unit;
    uint32_t depth;
    uint64_t token_hash;  // 0 below `*`, and of the root.
  };
  // Every step takes one place and leaves at most two of the next depth.
  std::array<Place, kTopicTokensMax + 2> places;
  std::size_t place_count = 0;
  places[place_count++] = {root, 0, 0};
  const std::size_t most = receivers.size() + view_.subscription_capacity();  // Beyond it are damaged words.
  const auto add = [&](std::string_view pattern, const std::byte* place, uint32_t count) {
    if (pattern_matches(pattern, topic) && receivers.size() + count <= most) append(receivers, place, count);
  };
  while (place_count > 0) {
    const Place place = places[--place_count];
    layout::PatternNode node;
    if (!copy(place.unit, node)) return false;
    if (node.token_hash != place.token_hash) continue;
    if (!for_each_route(node.tail, add)) return false;
    if (place.depth == token_count) {
      if (!for_each_route(node.here, add)) return false;
      continue;
    }
    uint32_t literal = 0;
    if (!find_literal(node.literals, hashes[place.depth], literal)) return false;
    if (node.any != 0) places[place_count++] = {node.any, place.depth + 1, 0};
    if (literal != 0) places[place_count++] = {literal, place.depth + 1, hashes[place.depth]};
  }
  return true;
}

bool Walk::list_routes(uint32_t unit, std::vector<PatternReceivers>& patterns) {
  return for_each_route(unit, [&](std::string_view text, const std::byte* place, uint32_t count) {
    patterns.push_back({std::string(text), {}});
    if (count <= view_.subscription_capacity()) append(patterns.back().receivers, place, count);
  });
}

bool Walk::list(uint32_t root, std::vector<PatternReceivers>& patterns) {
  struct Place {
    uint32_t reference;
    uint32_t depth;  // Tokens, or bits of a hash, so far: a circle of damaged words ends.
  };
  constexpr uint32_t kDepthMax = (kTopicTokensMax + 1) * (layout::kPatternBranchDepthMax + 1);
  std::vector<Place> places = {{root, 0}};
  // Nodes and branches are units, each named once.
  for (uint64_t left = view_.superblock().routes_bytes / layout::kRouteUnitBytes; !places.empty(); --left) {
    const auto [reference, depth] = places.back();
    places.pop_back();
    if (left == 0 || depth > kDepthMax) return false;
    if ((reference & layout::kPatternBranchBit) != 0) {
      layout::PatternBranch branch;
      if (!copy(reference & ~layout::kPatternBranchBit, branch)) return false;
      for (const uint32_t next : branch.literals) {
        if (next != 0) places.push_back({next, depth + 1});
      }
      continue;
    }
    layout::PatternNode node;
    if (!copy(reference, node) || !list_routes(node.here, patterns) || !list_routes(node.tail, patterns)) return false;
    if (node.any != 0) places.push_back({node.any, depth + 1});
    if (node.literals != 0) places.push_back({node.literals, depth + 1});
  }
  return true;
}

}  // namespace

bool PatternView::append_receivers(std::string_view topic, std::vector<RouteReceiver>& receivers) const {
  const std::size_t before = receivers.size();
  for (int tries = 0; tries < kCopyTries; ++tries) {
    const uint64_t root = view_.pattern_root();
    const auto unit = static_cast<uint32_t>(root);
    if (unit == 0) return true;
    const bool whole = Walk(view_).collect(unit, topic, receivers);
    if (view_.has_pattern_root(root)) {
      if (whole) return true;
      break;
    }
    receivers.resize(before);
  }
  receivers.resize(before);
  return false;
}

bool PatternView::list(std::vector<PatternReceivers>& patterns) const {
  for (int tries = 0; tries < kCopyTries; ++tries) {
    patterns.clear();
    const uint64_t root = view_.pattern_root();
    const auto unit = static_cast<uint32_t>(root);
    if (unit == 0) return true;
    const bool whole = Walk(view_).list(unit, patterns);
    if (!view_.has_pattern_root(root)) continue;
    if (whole) return true;
    break;
  }
  patterns.clear();
  return false;
}

std::string PatternView::text_of(uint32_t topic_id) const {
  Text text;
  if (!layout::is_pattern_id(topic_id) || !text.copy(view_, topic_id & ~layout::kPatternFlag)) return {};
  return std::string(text.get());
}

bool find_receivers(const ControlView& view, uint32_t topic_id, std::vector<RouteReceiver>& receivers) {
  if (!view.copy_route(topic_id, receivers)) return false;
  const std::size_t exact_count = receivers.size();
  if (!PatternView(view).append_receivers(view.topic_name(topic_id), receivers)) {
    receivers.clear();
    return false;
  }
  if (receivers.size() == exact_count) return true;
  const auto place = [](const RouteReceiver& receiver) { return std::tie(receiver.agent, receiver.ring_id); };
  const auto less = [&](const RouteReceiver& a, const RouteReceiver& b) {
    return std::tie(a.agent, a.ring_id, a.subscription) < std::tie(b.agent, b.ring_id, b.subscription);
  };
  std::sort(receivers.begin(), receivers.end(), less);
  receivers.erase(std::unique(receivers.begin(), receivers.end(),
                              [&](const RouteReceiver& a, const RouteReceiver& b) { return place(a) == place(b); }),
                  receivers.end());
  return true;
}

}  // namespace ripstop::control
