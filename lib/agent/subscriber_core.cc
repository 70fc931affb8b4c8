#include "agent/subscriber_core.h"

#include "agent/agent_core.h"

namespace ripstop::detail {

SubscriberCore::SubscriberCore(std::shared_ptr<AgentCore> agent_, std::string topic_, uint32_t topic_id_,
                               uint32_t subscription_id_, Source* ring_, layout::SubscriptionRow& row_)
    : agent(std::move(agent_)),
      topic(std::move(topic_)),
      topic_id(topic_id_),
      subscription_id(subscription_id_),
      ring(ring_),
      row(&row_) {
  agent->inbox().add(*this);
}

SubscriberCore::~SubscriberCore() {
  agent->inbox().withdraw(*this);
  if (agent->usable()) {
    // A supervisor that is away is told when it is back; what arrives until then is released.
    agent->control_call([&](control::AgentLink& link) { link.unsubscribe(subscription_id); });
    row->state.store(0, std::memory_order_release);  // R(row)
  }
  agent->inbox().remove(*this);
}

// Not the next of the last one: what is missing, or came late, or came again.
void SubscriberCore::count_gap(uint64_t publisher, uint64_t sequence) noexcept {
  const SequenceWindow::Verdict verdict = sequences.see(publisher, sequence);
  if (verdict.lost_change != 0) base::count_up(row->lost_count, static_cast<uint64_t>(verdict.lost_change));
  if (verdict.duplicate) base::count_up(row->duplicate_count, 1);
}

}  // namespace ripstop::detail

namespace ripstop {

namespace {

uint64_t timeout_of(std::chrono::nanoseconds timeout) noexcept {
  if (timeout == std::chrono::nanoseconds::max()) return detail::Waiting::kForever;
  return timeout.count() < 0 ? 0 : static_cast<uint64_t>(timeout.count());
}

TakeOutcome unusable(const detail::AgentCore& agent) noexcept {
  return agent.forked() ? TakeOutcome::Forked : TakeOutcome::Detached;
}

}  // namespace

Subscriber<Bytes>::Subscriber(std::unique_ptr<detail::SubscriberCore> core) noexcept : core_(std::move(core)) {}
Subscriber<Bytes>::Subscriber(Subscriber&&) noexcept = default;
Subscriber<Bytes>& Subscriber<Bytes>::operator=(Subscriber&&) noexcept = default;
Subscriber<Bytes>::~Subscriber() = default;

Take<Message<Bytes>> Subscriber<Bytes>::take() {
  detail::AgentCore& agent = *core_->agent;
  if (!agent.usable()) return unusable(agent);
  return agent.inbox().take(core_.get());
}

Take<Message<Bytes>> Subscriber<Bytes>::take(std::chrono::nanoseconds timeout) {
  detail::AgentCore& agent = *core_->agent;
  if (!agent.usable()) return unusable(agent);
  return agent.inbox().take(core_.get(), timeout_of(timeout));
}

std::size_t Subscriber<Bytes>::take_batch(std::vector<Message<Bytes>>& messages, std::size_t count) {
  std::size_t taken_count = 0;
  while (taken_count < count) {
    if (messages.size() == messages.capacity()) {
      try {
        messages.reserve(2 * messages.size() + 8);
      } catch (const std::bad_alloc&) {
        break;  // Before one is taken that would have no place.
      }
    }
    auto taken = take();
    if (!taken) break;
    messages.push_back(std::move(*taken));
    ++taken_count;
  }
  return taken_count;
}

std::string_view Subscriber<Bytes>::topic() const noexcept { return core_->topic; }
uint32_t Subscriber<Bytes>::topic_id() const noexcept { return core_->topic_id; }

uint64_t Subscriber<Bytes>::lost_count() const noexcept {
  return core_->agent->usable() ? core_->row->lost_count.load(std::memory_order_relaxed) : 0;  // Relaxed: a counter.
}
uint64_t Subscriber<Bytes>::duplicate_count() const noexcept {
  return core_->agent->usable() ? core_->row->duplicate_count.load(std::memory_order_relaxed) : 0;  // Relaxed: a counter.
}
uint64_t Subscriber<Bytes>::dropped_count() const noexcept {
  return core_->agent->usable() ? core_->row->dropped_count.load(std::memory_order_relaxed) : 0;  // Relaxed: a counter.
}

}  // namespace ripstop
