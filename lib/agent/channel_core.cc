// Either side may sleep: the consumer on its doorbell, the producer on the space bell. No swap stands
// between the message and the look at the bell, so the sleeper brings the fence: between arming and
// its last look it makes every processor pass a full one (ring/space.h). Awake, nobody pays.
// An end that is stopped between what it stored and its ring leaves the other one asleep; the supervisor's tick
// looks after those, and `sending` and `releasing` keep it going meanwhile (supervisor/watch.cc).
#include "agent/channel_core.h"

#include <algorithm>
#include <cstring>

#include "agent/agent_core.h"
#include "agent/waiting.h"
#include "ring/doorbell.h"
#include "ring/space.h"

namespace ripstop::detail {

namespace {

template <class Look>
void sleep_unless(ring::Sleeper& sleeper, uint64_t timeout_ns, Look look) noexcept {
  sleeper.arm();
  const bool fenced = ring::heavy_fence();
  if (!fenced) timeout_ns = timeout_ns == 0 ? ring::kUnfencedSliceNs : std::min(timeout_ns, ring::kUnfencedSliceNs);
  if (!look()) sleeper.wait(timeout_ns);
  sleeper.disarm();
}

}  // namespace

ChannelCore::ChannelCore(std::shared_ptr<AgentCore> agent, uint32_t ring_id, const control::FabricMap::Channel& place,
                         bool sender)
    : agent_(std::move(agent)),
      ring_id_(ring_id),
      sender_(sender),
      ring_(*place.header, place.slots, place.slot_count, place.slot_bytes),
      waiting_(agent_->options().wait) {
  if (sender_) {
    (void)ring_.open_producer();  // A contradiction shows at the first send.
  } else {
    (void)ring_.open_consumer();
  }
}

ChannelCore::~ChannelCore() {
  if (!agent_->usable()) return;
  const control::ChannelEnd end = sender_ ? control::ChannelEnd::Sender : control::ChannelEnd::Receiver;
  agent_->control_call([&](control::AgentLink& link) { link.close_channel(ring_id_, end); });
}

bool ChannelCore::usable() const noexcept { return agent_->usable(); }
ChannelOutcome ChannelCore::unusable() const noexcept {
  return agent_->forked() ? ChannelOutcome::Forked : ChannelOutcome::Detached;
}

std::span<std::byte> ChannelCore::slot() noexcept {
  if (!usable() || !ring_.has_room()) return {};
  return {ring_.next_payload(), ring_.payload_bytes_max()};
}

ChannelOutcome ChannelCore::send(std::size_t payload_bytes, uint8_t content_type) noexcept {
  if (!usable()) return unusable();
  if (payload_bytes > ring_.payload_bytes_max()) return ChannelOutcome::TooLarge;
  if (!ring_.has_room()) return ring_.corrupt() ? ChannelOutcome::Corrupt : ChannelOutcome::Full;
  std::atomic<uint32_t>& sending = ring_.header().sending;
  sending.store(1, std::memory_order_relaxed);  // Relaxed: as the intent of a publisher, which start_watch() orders.
  agent_->start_watch();
  ring_.push(static_cast<uint32_t>(payload_bytes), content_type);
  if (ring::needs_ring(ring_.header().doorbell.load(std::memory_order_relaxed), last_rung_)) {  // Relaxed: the sleeper's fence.
    ring::ring_doorbell(ring_.header().doorbell, last_rung_);
  }
  sending.store(0, std::memory_order_release);  // R(intent)
  return ChannelOutcome::Ok;
}

ChannelOutcome ChannelCore::wait_for_room(uint64_t timeout_ns) noexcept {
  if (!usable()) return unusable();
  ring::Sleeper sleeper(ring_.header().space_bell);
  Waiting waiting(agent_->options().wait);
  const bool room = waiting.wait(
      timeout_ns, [&] { return ring_.has_room() || ring_.corrupt(); }, [&] { return agent_->now_ns(); },
      [&](uint64_t sleep_ns) {
        sleep_unless(sleeper, sleep_ns, [&] { return ring_.has_room(); });
        return ring_.has_room();
      });
  if (ring_.corrupt()) return ChannelOutcome::Corrupt;
  return room ? ChannelOutcome::Ok : ChannelOutcome::Full;
}

TakeOutcome ChannelCore::take(std::span<const std::byte>& payload) noexcept {
  if (!usable()) return agent_->forked() ? TakeOutcome::Forked : TakeOutcome::Detached;
  if (!ring_.has_message()) return TakeOutcome::Empty;
  const uint32_t payload_bytes = ring_.front().payload_bytes;
  if (payload_bytes > ring_.payload_bytes_max()) return TakeOutcome::Corrupt;
  payload = {ring_.front_payload(), payload_bytes};
  return TakeOutcome::Ok;
}

TakeOutcome ChannelCore::take(std::span<const std::byte>& payload, uint64_t timeout_ns) noexcept {
  TakeOutcome outcome = take(payload);
  if (outcome != TakeOutcome::Empty) return outcome;
  ring::Sleeper sleeper(ring_.header().doorbell);
  waiting_.wait(
      timeout_ns, [&] { return ring_.has_message(); }, [&] { return agent_->now_ns(); },
      [&](uint64_t sleep_ns) {
        sleep_unless(sleeper, sleep_ns, [&] { return ring_.has_message(); });
        return ring_.has_message();
      });
  return take(payload);
}

void ChannelCore::release() noexcept {
  if (!usable() || !ring_.has_message()) return;
  std::atomic<uint32_t>& releasing = ring_.header().releasing;
  releasing.store(1, std::memory_order_relaxed);  // Relaxed: as in send().
  agent_->start_watch();
  ring_.pop();
  std::atomic<uint32_t>& bell = ring_.header().space_bell;
  // Relaxed: the sleeping producer looks again after a fence of its own that reaches us.
  if (ring::needs_ring(bell.load(std::memory_order_relaxed), last_rung_)) ring::ring_doorbell(bell, last_rung_);
  releasing.store(0, std::memory_order_release);  // R(intent)
}

}  // namespace ripstop::detail

namespace ripstop {

namespace {

uint64_t timeout_of(std::chrono::nanoseconds timeout) noexcept {
  if (timeout == std::chrono::nanoseconds::max()) return detail::Waiting::kForever;
  return timeout.count() < 0 ? 0 : static_cast<uint64_t>(timeout.count());
}

}  // namespace

using Sender = Channel<Bytes>::Sender;
using Receiver = Channel<Bytes>::Receiver;

Sender::Sender(std::unique_ptr<detail::ChannelCore> core) noexcept : core_(std::move(core)) {}
Sender::Sender(Sender&&) noexcept = default;
Sender& Sender::operator=(Sender&&) noexcept = default;
Sender::~Sender() = default;
std::span<std::byte> Sender::slot() noexcept { return core_->slot(); }
ChannelOutcome Sender::send(std::size_t payload_bytes) noexcept {
  return core_->send(payload_bytes, static_cast<uint8_t>(ContentType::Bytes));
}
ChannelOutcome Sender::send_copy(std::span<const std::byte> payload) noexcept {
  if (!core_->usable()) return core_->unusable();
  if (payload.size() > core_->ring().payload_bytes_max()) return ChannelOutcome::TooLarge;
  const std::span<std::byte> slot = core_->slot();
  if (slot.empty()) return core_->ring().corrupt() ? ChannelOutcome::Corrupt : ChannelOutcome::Full;
  if (!payload.empty()) std::memcpy(slot.data(), payload.data(), payload.size());
  return send(payload.size());
}
ChannelOutcome Sender::wait_for_room(std::chrono::nanoseconds timeout) noexcept {
  return core_->wait_for_room(timeout_of(timeout));
}
uint64_t Sender::sequence() const noexcept { return core_->ring().next(); }
std::size_t Sender::payload_bytes_max() const noexcept { return core_->ring().payload_bytes_max(); }

Receiver::Receiver(std::unique_ptr<detail::ChannelCore> core) noexcept : core_(std::move(core)) {}
Receiver::Receiver(Receiver&&) noexcept = default;
Receiver& Receiver::operator=(Receiver&&) noexcept = default;
Receiver::~Receiver() = default;
TakeOutcome Receiver::take(std::span<const std::byte>& payload) noexcept { return core_->take(payload); }
TakeOutcome Receiver::take(std::span<const std::byte>& payload, std::chrono::nanoseconds timeout) noexcept {
  return core_->take(payload, timeout_of(timeout));
}
void Receiver::release() noexcept { core_->release(); }
uint64_t Receiver::sequence() const noexcept { return core_->ring().next() + 1; }
bool Receiver::repeated() const noexcept { return core_->ring().front_is_old(); }

}  // namespace ripstop
