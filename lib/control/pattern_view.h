// The patterns that are subscribed to, as the control segment has them: for publishers and tools.
//
// The trie is immutable below its root and not reused for 100 ms after a root was replaced (layout). So:
// read the root, copy, read the root again; if it is another one, copy again. No step leads out of the
// segment whatever the words say, and there are no more steps than a topic has tokens and the fabric
// subscriptions. Nobody waits for the supervisor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/control_view.h"

namespace ripstop::control {

// A pattern and who subscribes to it.
struct PatternReceivers {
  std::string text;
  std::vector<layout::RouteReceiver> receivers;  // An inbox once, a ring of its own each.
};

class PatternView {
 public:
  // Lifetime: `view` outlives it.
  explicit PatternView(const ControlView& view) noexcept : view_(view) {}

  // Appends the receivers of each pattern that names the topic; an inbox may come once for each. False, and
  // nothing is appended: the patterns kept changing while we looked, or are damaged.
  bool append_receivers(std::string_view topic, std::vector<layout::RouteReceiver>& receivers) const;

  // All patterns that have receivers, in the order of the trie. False as above.
  bool list(std::vector<PatternReceivers>& patterns) const;

  // The text of a pattern that a subscription names by its topic_id; empty when there is none. For a
  // subscription that ends meanwhile it may be another's: look at its word again.
  std::string text_of(uint32_t topic_id) const;

 private:
  const ControlView& view_;
};

// Who receives a topic: who subscribes to it, and to a pattern that names it. An agent's inbox is named once,
// however many subscriptions lead to it. False as ControlView::copy_route(); then nothing is in `receivers`.
bool find_receivers(const ControlView& view, uint32_t topic_id, std::vector<layout::RouteReceiver>& receivers);

}  // namespace ripstop::control
