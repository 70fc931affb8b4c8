#include "supervisor/topic_names.h"

#include "control/control_view.h"
#include "control/topic_grammar.h"

namespace ripstop::supervisor {

static_assert(layout::kEpochShards == 64);  // A bit each.

uint64_t TopicNames::shards_of(std::string_view pattern) const {
  constexpr uint64_t kAll = ~uint64_t{0};
  const std::string_view prefix = control::literal_prefix(pattern);
  uint64_t shards = 0;
  uint32_t looks = 0;
  for (auto at = names_.lower_bound(prefix); at != names_.end() && at->first.starts_with(prefix); ++at) {
    if (shards == kAll || ++looks > kLooksMax) return kAll;
    if (control::pattern_matches(pattern, at->first)) shards |= uint64_t{1} << control::ControlView::shard_of(at->second);
  }
  return shards;
}

std::vector<std::string> TopicNames::all() const {
  std::vector<std::string> names;
  names.reserve(names_.size());
  for (const auto& [name, hash] : names_) names.emplace_back(name);
  return names;
}

}  // namespace ripstop::supervisor
