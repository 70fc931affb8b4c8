#include "ripstop/agent.h"

#include "agent/agent_core.h"
#include "agent/channel_core.h"
#include "agent/doorbell_descriptor.h"
#include "agent/publisher_core.h"
#include "agent/subscriber_core.h"
#include "base/no_heap.h"
#include "control/topic_grammar.h"

namespace ripstop {

Agent::Agent(std::shared_ptr<detail::AgentCore> core) : core_(std::move(core)) {}
Agent::Agent(Agent&&) noexcept = default;
Agent& Agent::operator=(Agent&& other) noexcept {
  if (this != &other) {
    if (core_) (void)core_->detach();
    core_ = std::move(other.core_);
  }
  return *this;
}
Agent::~Agent() {
  if (core_) (void)core_->detach();  // Publishers and subscribers that are left become inert.
}

Result<Agent> Agent::attach(AgentOptions options) {
  return base::or_no_heap([&]() -> Result<Agent> {
    auto core = detail::AgentCore::attach(std::move(options));
    if (!core) return core.error();
    return Agent(std::move(*core));
  });
}

Result<Publisher<Bytes>> Agent::open_publisher(std::string_view topic, const PublisherOptions& options) {
  return base::or_no_heap([&]() -> Result<Publisher<Bytes>> {
    auto opened = core_->open_publisher(topic, options);
    if (!opened) return opened.error();
    return Publisher<Bytes>(std::move(*opened));
  });
}

Result<Subscriber<Bytes>> Agent::open_subscriber(std::string_view topic, const SubscriberOptions& options) {
  return base::or_no_heap([&]() -> Result<Subscriber<Bytes>> {
    auto opened = core_->open_subscriber(topic, options);
    if (!opened) return opened.error();
    return Subscriber<Bytes>(std::move(*opened));
  });
}

Result<Channel<Bytes>::Sender> Agent::open_channel_sender(std::string_view name, const ChannelOptions& options) {
  return base::or_no_heap([&]() -> Result<Channel<Bytes>::Sender> {
    auto opened = core_->open_channel(name, options, true);
    if (!opened) return opened.error();
    return Channel<Bytes>::Sender(std::move(*opened));
  });
}

Result<Channel<Bytes>::Receiver> Agent::open_channel_receiver(std::string_view name, const ChannelOptions& options) {
  return base::or_no_heap([&]() -> Result<Channel<Bytes>::Receiver> {
    auto opened = core_->open_channel(name, options, false);
    if (!opened) return opened.error();
    return Channel<Bytes>::Receiver(std::move(*opened));
  });
}

Take<Message<Bytes>> Agent::next(std::chrono::nanoseconds timeout) {
  if (!core_->usable()) return core_->forked() ? TakeOutcome::Forked : TakeOutcome::Detached;
  const uint64_t timeout_ns = timeout == std::chrono::nanoseconds::max() ? detail::Waiting::kForever
                              : timeout.count() < 0                      ? 0
                                                                         : static_cast<uint64_t>(timeout.count());
  return core_->inbox().take(nullptr, timeout_ns);
}

Result<int> Agent::fd() {
  return base::or_no_heap([&]() -> Result<int> {
    if (!core_->usable()) return core_->unusable();
    return core_->descriptor().open(core_->inbox());
  });
}

void Agent::clear_fd() noexcept {
  if (!core_->usable()) return;
  core_->descriptor().clear();
  if (core_->inbox().has_pending()) core_->descriptor().set();  // Taken for a subscription that has not seen it.
}

Result<void> Agent::detach() { return core_->detach(); }

std::string_view Agent::name() const noexcept { return core_->options().name; }
std::string_view Agent::fabric() const noexcept { return core_->options().fabric; }
uint32_t Agent::id() const noexcept { return core_->id(); }
std::string Agent::topic_name(uint32_t topic_id) const {
  return core_->usable() ? std::string(core_->view().topic_name(topic_id)) : std::string();
}
std::size_t Agent::payload_bytes_max() const noexcept {
  const memory::ChunkMap& chunks = core_->map().chunks();
  return chunks.payload_bytes(static_cast<uint32_t>(chunks.classes().size() - 1));
}

Result<void> check_name(std::string_view name) { return control::check_name(name); }
Result<void> check_topic(std::string_view topic) { return control::check_topic(topic); }
Result<void> check_pattern(std::string_view pattern) { return control::check_pattern(pattern); }
bool pattern_matches(std::string_view pattern, std::string_view topic) {
  return control::pattern_matches(control::canonical_pattern(pattern), topic);
}

}  // namespace ripstop
