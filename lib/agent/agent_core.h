// What an attached agent is made of: its connection, its maps, its inbox, its senders.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/doorbell_descriptor.h"
#include "agent/fork_guard.h"
#include "agent/inbox.h"
#include "agent/sender.h"
#include "base/clock.h"
#include "control/agent_link.h"
#include "control/control_view.h"
#include "control/fabric_map.h"
#include "ripstop/agent.h"

namespace ripstop::detail {

class ChannelCore;

class AgentCore : public std::enable_shared_from_this<AgentCore> {
 public:
  static Result<std::shared_ptr<AgentCore>> attach(AgentOptions options);
  // The agent that `link` was attached as.
  // Errors: AbiMismatch, LayoutMismatch, Corrupt.
  static Result<std::shared_ptr<AgentCore>> make(AgentOptions options, control::AgentLink link);
  AgentCore(const AgentCore&) = delete;
  AgentCore& operator=(const AgentCore&) = delete;
  ~AgentCore();

  // Whether calls may touch the maps: not in a forked child, not after detach().
  bool usable() const noexcept {
    // Relaxed: both change only by our own thread's doing, or in a child with one thread.
    return fork_count.load(std::memory_order_relaxed) == fork_mark_ && !detached_.load(std::memory_order_relaxed);
  }
  bool forked() const noexcept { return fork_count.load(std::memory_order_relaxed) != fork_mark_; }  // Relaxed: as above.
  // The error that says why usable() is false.
  Error unusable() const;

  Result<void> detach();
  // The agent is detached and its last message has been released: nothing points into us any more.
  void last_message_gone() noexcept { keep_alive_.reset(); }

  Result<std::unique_ptr<PublisherCore>> open_publisher(std::string_view topic, const PublisherOptions& options);
  Result<std::unique_ptr<SubscriberCore>> open_subscriber(std::string_view topic, const SubscriberOptions& options);
  Result<std::unique_ptr<ChannelCore>> open_channel(std::string_view name, const ChannelOptions& options, bool sender);

  // Serialises control calls. A supervisor that was restarted meanwhile is found again by them; the data
  // path does not need it.
  template <class Call>
  auto control_call(Call call) {
    const std::lock_guard lock(control_mutex_);
    return call(*link_);
  }

  // Between a send's intent and its push: starts the supervisor's tick, which looks after receivers whose
  // publisher does not come to ring, if it stands still (supervisor/watch.cc).
  void start_watch() noexcept {
    // A(watch), R(watch): the intent is before the load for the compiler. For the processor the tick
    // brings the fence, before it stands still.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const uint32_t word = watch_->load(std::memory_order_relaxed);  // Relaxed: that fence.
    if ((word & layout::kWatchStopped) != 0) [[unlikely]] write_bell(word);
  }

  // The number of a topic, as far as the supervisor says it at once; nothing: it is away, or refuses.
  std::optional<uint32_t> try_topic_id(std::string_view topic);

  uint64_t now_ns() const noexcept { return base::scaled_now_ns(clock_); }
  const AgentOptions& options() const noexcept { return options_; }
  uint32_t id() const noexcept { return link_->attachment().agent_id; }
  uint64_t incarnation() const noexcept { return link_->attachment().incarnation; }
  // As the supervisor said at attach: the block's own copy is anybody's to write.
  uint32_t node() const noexcept { return link_->attachment().node_index; }
  uint32_t name_word() const noexcept { return layout::make_receiver(id(), incarnation()); }
  const control::ControlView& view() const noexcept { return *view_; }
  const control::FabricMap& map() const noexcept { return *map_; }
  layout::AgentBlock& block() const noexcept { return *block_; }
  Inbox& inbox() noexcept { return *inbox_; }
  Senders& senders() noexcept { return *senders_; }
  DoorbellDescriptor& descriptor() noexcept { return descriptor_; }
  void close_row(uint32_t row_index) noexcept;

 private:
  AgentCore() = default;
  void write_bell(uint32_t watch_word) noexcept;
  // An open row of the block for a publisher, or none when all are in use.
  std::optional<uint32_t> open_publisher_row(uint32_t topic_id) noexcept;
  uint32_t open_subscription_row() noexcept;

  AgentOptions options_;
  uint32_t fork_mark_ = 0;
  std::atomic<bool> detached_{false};
  std::mutex control_mutex_;
  std::optional<control::AgentLink> link_;
  std::optional<control::ControlView> view_;
  std::optional<control::FabricMap> map_;
  base::TscScale clock_;
  const std::atomic<uint32_t>* watch_ = nullptr;  // Superblock.watch.
  std::atomic<uint32_t> bell_written_{0};         // The word that the bell was written for.
  layout::AgentBlock* block_ = nullptr;
  std::unique_ptr<Senders> senders_;
  std::unique_ptr<Inbox> inbox_;
  DoorbellDescriptor descriptor_;
  std::shared_ptr<AgentCore> keep_alive_;  // While messages outlive a detached agent.
};

}  // namespace ripstop::detail
