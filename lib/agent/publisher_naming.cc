// A topic that nobody has named yet, while its supervisor, who names it, is away.
//
// Nobody can have subscribed to that very topic, so as long as no pattern names it a send has no receiver,
// and says so. Receivers of patterns could not be told the topic: then a send says Unnamed. The first send
// after the supervisor is back names it.
#include "agent/agent_core.h"
#include "agent/publisher_core.h"
#include "control/pattern_view.h"

namespace ripstop::detail {

namespace {
// Asking a supervisor that is away costs a system call or two.
constexpr uint64_t kAskEveryNs = 10'000'000;
}  // namespace

bool PublisherCore::look_for_name() {
  if (const auto found = agent_->view().find_topic(topic_)) {
    topic_id_ = *found;
  } else if (const uint64_t now = agent_->now_ns(); now - name_asked_ns_ > kAskEveryNs) {
    name_asked_ns_ = now;
    if (const auto named = agent_->try_topic_id(topic_)) topic_id_ = *named;
  }
  if (topic_id_ == kUnnamedTopic) return false;
  row_->topic_id.store(topic_id_, std::memory_order_relaxed);  // Relaxed: readers take what they find.
  return true;
}

bool PublisherCore::has_nobody() const {
  std::vector<layout::RouteReceiver> entries;
  return control::PatternView(agent_->view()).append_receivers(topic_, entries) && entries.empty();
}

}  // namespace ripstop::detail
