#include "supervisor/topic_policy.h"

#include <algorithm>

#include "base/nearest_name.h"
#include "control/topic_grammar.h"

namespace ripstop::supervisor {

TopicPolicy::TopicPolicy(bool strict, std::vector<std::string> declared) : strict_(strict), declared_(std::move(declared)) {
  for (std::string& each : declared_) each = control::canonical_pattern(each);
}

Result<void> TopicPolicy::check(std::string_view topic, const TopicNames& names) const {
  const auto names_it = [&](const std::string& pattern) { return control::pattern_matches(pattern, topic); };
  if (!strict_ || std::any_of(declared_.begin(), declared_.end(), names_it)) return {};
  const std::string near = base::did_you_mean(base::nearest_names(topic, names.all()));
  return Error{Errc::UnknownTopic, 0, "there is no topic " + std::string(topic),
               "this fabric is strict: \"declare_topics\" has neither the name nor a pattern for it",
               near.empty() ? "declare it, or see which there are:     shmctl topics" : near};
}

}  // namespace ripstop::supervisor
