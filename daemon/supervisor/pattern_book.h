// Which patterns are subscribed to, and by which subscriptions; the only writer of their trie.
//
// What stands here stands in the control segment too, the other way round: the text of each pattern, which
// its subscriptions name, and the trie that publishers read. A supervisor that takes over reads it there.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "supervisor/pattern_trie.h"
#include "supervisor/route_arena.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {

class PatternBook {
 public:
  using Receivers = std::vector<layout::RouteReceiver>;
  // Who receives what is published to these subscriptions; an inbox once.
  using ReceiversOf = std::function<Receivers(const std::vector<uint32_t>& subscriptions)>;
  // Has the publishers of what the pattern names look at their receivers again.
  using MoveEpochs = std::function<void(std::string_view pattern)>;

  // Lifetime: the first two outlive it.
  PatternBook(const SegmentManager& segments, RouteArena& arena, ReceiversOf receivers_of, MoveEpochs move_epochs);
  PatternBook(const PatternBook&) = delete;
  PatternBook& operator=(const PatternBook&) = delete;

  // The topic_id (kPatternFlag) of a canonical pattern, which subscriptions may bear from now on. Nothing: no room.
  std::optional<uint32_t> open(std::string_view pattern);
  // Forgets a pattern without subscriptions, when no publisher can find it any more.
  void close(uint32_t topic_id);

  const std::string& text(uint32_t topic_id) const { return patterns_.at(topic_id).text; }
  std::vector<uint32_t>& subscriptions(uint32_t topic_id) { return patterns_.at(topic_id).subscriptions; }
  std::size_t size() const noexcept { return patterns_.size(); }

  // Puts the receivers of a pattern into the trie, or takes it out. False when the arena has no room: the trie
  // stays as it was.
  bool publish(uint32_t topic_id);
  // It should not have stayed so: the next publish() that finds room mends it. Not for a topic.
  void mend_later(uint32_t topic_id);

  // At a take-over: each subscription to a pattern, the last first; then finish_restore().
  void restore(uint32_t topic_id, uint32_t subscription_id);
  // Marks what the trie lies in. Returns the patterns whose receivers in it are not what they should be.
  std::vector<uint32_t> finish_restore();

 private:
  struct Pattern {
    std::string text;
    std::vector<uint32_t> subscriptions;  // The oldest first.
    bool in_trie = false;
    bool stale = false;  // The trie says otherwise.
  };

  uint32_t root() const noexcept;
  bool write(uint32_t topic_id, Pattern& pattern);
  std::optional<uint32_t> write_route(uint32_t topic_id, const Receivers& receivers, uint64_t now_ns);

  layout::Superblock& super_;
  RouteArena& arena_;
  PatternTrie trie_;
  ReceiversOf receivers_of_;
  MoveEpochs move_epochs_;
  std::unordered_map<uint32_t, Pattern> patterns_;          // By topic_id.
  std::unordered_map<std::string, uint32_t> ids_;           // By text.
  std::vector<uint32_t> stale_;                             // Topic ids.
};

}  // namespace ripstop::supervisor
