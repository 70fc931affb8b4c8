// Which topics there may be: all, or those that the configuration declares.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ripstop/result.h"
#include "supervisor/topic_names.h"

namespace ripstop::supervisor {

class TopicPolicy {
 public:
  TopicPolicy() = default;
  // `declared`: topics, which exist from the start, and patterns. Both have been checked. `strict`: no others.
  TopicPolicy(bool strict, std::vector<std::string> declared);

  const std::vector<std::string>& declared() const noexcept { return declared_; }

  // Whether a topic that is not among `names` may be made.
  // Errors: UnknownTopic, with the nearest of the names.
  Result<void> check(std::string_view topic, const TopicNames& names) const;

 private:
  bool strict_ = false;
  std::vector<std::string> declared_;  // Canonical.
};

}  // namespace ripstop::supervisor
