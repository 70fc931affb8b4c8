// A thread that ended leaves its sender to whichever later thread gets the same mark; until then its
// slabs stay the agent's. That is bounded by the number of threads that publish at once.
#include "agent/sender.h"

namespace ripstop::detail {

Sender* Senders::mine() {
  const void* thread = this_thread_mark();
  const std::lock_guard lock(mutex_);
  for (const auto& sender : senders_) {
    if (sender->thread == thread) return sender.get();
  }
  if (senders_.size() == layout::kSenderCount) return nullptr;
  layout::SenderIntent& intent = block_.senders[senders_.size()];
  senders_.reserve(layout::kSenderCount);  // All that is allocated comes before the intent is in use.
  auto sender = std::make_unique<Sender>(map_, node_, agent_id_, incarnation_, warm_, intent);
  // Relaxed: recovery reads it after the process is dead.
  intent.root.store(0, std::memory_order_relaxed);
  intent.state.store(1, std::memory_order_relaxed);
  senders_.push_back(std::move(sender));
  senders_.back()->thread = thread;
  return senders_.back().get();
}

void Senders::clear() {
  const std::lock_guard lock(mutex_);
  senders_.clear();
}

}  // namespace ripstop::detail
