#include "agent/agent_core.h"

#include <sched.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "agent/channel_core.h"
#include "agent/publisher_core.h"
#include "agent/subscriber_core.h"
#include "base/atomic_pair.h"
#include "base/name_hash.h"
#include "base/no_heap.h"
#include "control/endpoint.h"
#include "control/topic_grammar.h"
#include "ring/space.h"

namespace ripstop::detail {

namespace {

// The kernel's NUMA node of the processor that runs us.
uint32_t current_os_node() noexcept {
  unsigned cpu = 0;
  unsigned node = 0;
  return getcpu(&cpu, &node) == 0 ? node : 0;
}

Result<control::Endpoint> endpoint_of(const AgentOptions& options) {
  if (!options.socket.empty()) return control::endpoint_at(options.socket);
  std::string fabric = options.fabric;
  const char* wanted = std::getenv("RIPSTOP_FABRIC");
  if (fabric == "default" && wanted != nullptr && *wanted != '\0') fabric = wanted;
  return control::find_endpoint(fabric);
}

}  // namespace

Result<std::shared_ptr<AgentCore>> AgentCore::attach(AgentOptions options) {
  if (auto name = control::check_name(options.name); !name) return name.error();
  if (!base::cpu_has_pair_swap()) {
    return Error{Errc::UnsupportedCpu, 0, "this processor has no 16-byte compare-and-swap",
                 "every reference in shared memory changes by one (cmpxchg16b, casp)",
                 "run on a 64-bit processor made after 2008, or give the virtual machine the cx16 feature"};
  }
  watch_forks();
  const auto endpoint = endpoint_of(options);
  if (!endpoint) return endpoint.error();
  options.fabric = endpoint->fabric;
  control::AttachRequest request;
  request.name = options.name;
  request.node = options.node;
  request.os_node = current_os_node();
  request.flags = options.observer ? layout::kAgentObserver : 0;
  auto link = control::AgentLink::attach(*endpoint, std::move(request), options.timeout);
  if (!link) return link.error();
  return make(std::move(options), std::move(*link));
}

Result<std::shared_ptr<AgentCore>> AgentCore::make(AgentOptions options, control::AgentLink link) {
  const control::Attachment& attachment = link.attachment();
  auto view = control::ControlView::open(attachment.control.bytes());
  if (!view) return view.error();
  std::vector<std::span<std::byte>> nodes;
  for (const memory::Segment& node : attachment.nodes) nodes.push_back(node.bytes());
  auto map = control::FabricMap::create(attachment.control.bytes(), nodes);
  if (!map) return map.error();
  layout::AgentBlock* block = map->block(attachment.agent_id);
  if (block == nullptr) {
    return Error{Errc::Corrupt, 0, "the supervisor named an agent slot that does not exist", "", "restart ripstopd"};
  }
  ring::join_heavy_fences();

  std::shared_ptr<AgentCore> core(new AgentCore());
  core->options_ = std::move(options);
  core->fork_mark_ = fork_count.load(std::memory_order_relaxed);  // Relaxed: see usable().
  core->link_ = std::move(link);  // The maps stay where they are.
  core->view_ = std::move(*view);
  core->map_ = std::move(*map);
  core->block_ = block;
  const layout::Superblock& super = core->view_->superblock();
  core->watch_ = &super.watch;
  core->clock_ = {super.tsc_base, super.tsc_base_ns, super.tsc_mult};
  core->senders_ = std::make_unique<Senders>(core->map_->chunks(), *block, core->link_->attachment().node_index, core->id(),
                                             core->incarnation());
  core->inbox_ = std::make_unique<Inbox>(*core, *core->map_, *block, core->incarnation(), core->options_.wait, core->clock_);
  return core;
}

AgentCore::~AgentCore() {
  if (inbox_ == nullptr) return;  // It was not finished: its connection ends, with nothing mapped any more.
  if (forked()) {
    descriptor_.abandon();
    // Their heaps would look at slabs that are not mapped here: left behind on purpose.
    (void)senders_.release();
  }
  (void)detach();  // What it could not tell the supervisor, the kernel tells it when we end.
}

// Written once for each time that the tick stood still, though nobody may be there to read it.
void AgentCore::write_bell(uint32_t watch_word) noexcept {
  // Relaxed, here and below: marked after it was written; two threads may both write.
  if (bell_written_.load(std::memory_order_relaxed) == watch_word) return;
  const uint64_t one = 1;
  // Failing means that it was written very often and not read.
  if (write(link_->attachment().bell.get(), &one, sizeof one) < 0 && errno == EINTR) return;
  bell_written_.store(watch_word, std::memory_order_relaxed);
}

Error AgentCore::unusable() const {
  if (forked()) {
    return Error{Errc::Forked, 0, "agent " + options_.name + " belongs to the parent of this process",
                 "a child made by fork() has no mapping of the fabric's memory",
                 "attach an agent of its own in the child, or fork before attaching"};
  }
  return Error{Errc::SupervisorGone, 0, "agent " + options_.name + " has been detached",
               "its place and its memory were given back", "attach again"};
}

Result<void> AgentCore::detach() {
  if (!usable()) return {};
  descriptor_.close();
  senders_->clear();
  if (inbox_->in_hand_count() > 0) keep_alive_ = weak_from_this().lock();
  detached_.store(true, std::memory_order_relaxed);  // Relaxed: see usable().
  // From destructors too, where nothing may be thrown.
  return base::or_no_heap([&] { return control_call([](control::AgentLink& link) { return link.detach(); }); });
}

// Sequences go on with their row, so a row goes back to its topic if it can: a receiver would take the
// numbers that another topic used in the meantime for losses.
std::optional<uint32_t> AgentCore::open_publisher_row(uint32_t topic_id) noexcept {
  const auto open = [&](auto suits) -> std::optional<uint32_t> {
    for (uint32_t i = 0; i < layout::kPublisherRows; ++i) {
      layout::PublisherRow& row = block_->publishers[i];
      if (!suits(row)) continue;
      uint32_t free = 0;
      // A(row): the row as its last user left it. Relaxed failure: taken.
      if (!row.state.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) continue;
      // Relaxed: ours now; readers take what they find.
      row.topic_id.store(topic_id, std::memory_order_relaxed);
      return i;
    }
    return std::nullopt;
  };
  // Relaxed: only this agent writes its rows.
  const auto used = [](const layout::PublisherRow& row) { return row.sequence.load(std::memory_order_relaxed) != 0; };
  const auto same_topic = [&](const layout::PublisherRow& row) {
    return used(row) && row.topic_id.load(std::memory_order_relaxed) == topic_id;  // Relaxed: as above.
  };
  if (auto row = open(same_topic)) return row;
  if (auto row = open([&](const layout::PublisherRow& other) { return !used(other); })) return row;
  return open([](const layout::PublisherRow&) { return true; });
}

void AgentCore::close_row(uint32_t row_index) noexcept {
  block_->publishers[row_index].state.store(0, std::memory_order_release);  // R(row)
}

uint32_t AgentCore::open_subscription_row() noexcept {
  for (uint32_t i = 0; i < layout::kSubscriptionRows; ++i) {
    layout::SubscriptionRow& row = block_->subscriptions[i];
    uint32_t free = 0;
    // A(row)
    if (!row.state.compare_exchange_strong(free, 1, std::memory_order_acquire, std::memory_order_relaxed)) continue;  // Relaxed: taken.
    // Relaxed: ours now; readers take what they find.
    row.topic_id.store(~uint32_t{0}, std::memory_order_relaxed);
    row.message_count.store(0, std::memory_order_relaxed);
    row.byte_count.store(0, std::memory_order_relaxed);
    row.lost_count.store(0, std::memory_order_relaxed);
    row.duplicate_count.store(0, std::memory_order_relaxed);
    row.dropped_count.store(0, std::memory_order_relaxed);
    row.ring_id.store(0, std::memory_order_relaxed);
    return i;
  }
  return layout::kSubscriptionRows - 1;  // Counts together with the last.
}

std::optional<uint32_t> AgentCore::try_topic_id(std::string_view topic) {
  // Another thread may be waiting for the supervisor.
  const std::unique_lock lock(control_mutex_, std::try_to_lock);
  if (!lock) return std::nullopt;
  const auto named = link_->try_topic_id(topic);
  return named ? std::optional(*named) : std::nullopt;
}

Result<std::unique_ptr<PublisherCore>> AgentCore::open_publisher(std::string_view topic, const PublisherOptions& options) {
  if (!usable()) return unusable();
  if (auto name = control::check_topic(topic); !name) return name.error();
  // A topic that somebody has named before needs no supervisor.
  std::optional<uint32_t> topic_id = view_->find_topic(topic);
  if (!topic_id) {
    auto reply = control_call([&](control::AgentLink& link) { return link.topic_id(topic); });
    // While it is away the topic stays without a number, and nobody can have subscribed to it.
    const bool is_away = !reply && reply.error().code == Errc::SupervisorGone &&
                         control_call([](control::AgentLink& link) { return link.is_expected_back(); });
    if (!reply && !is_away) return reply.error();
    topic_id = reply ? *reply : PublisherCore::kUnnamedTopic;
  }
  const auto row = open_publisher_row(*topic_id);
  if (!row) {
    return Error{Errc::SendersFull, 0, "agent " + options_.name + " has too many publishers",
                 "an agent publishes " + std::to_string(layout::kPublisherRows) + " topics at most",
                 "close some, or attach another agent for the others"};
  }
  return std::make_unique<PublisherCore>(shared_from_this(), std::string(topic), *topic_id, base::name_hash(topic), *row,
                                         options);
}

Result<std::unique_ptr<SubscriberCore>> AgentCore::open_subscriber(std::string_view topic, const SubscriberOptions& options) {
  if (!usable()) return unusable();
  if (auto name = control::is_pattern(topic) ? control::check_pattern(topic) : control::check_topic(topic); !name) return name.error();
  const bool own_ring = options.own_ring || options.overflow != Overflow::Block;
  const uint32_t row_index = open_subscription_row();
  layout::SubscriptionRow& row = block_->subscriptions[row_index];
  const auto give_up = [&](Error error) {
    row.state.store(0, std::memory_order_release);  // R(row)
    return error;
  };
  control::SubscribeRequest request;
  request.topic = control::canonical_pattern(topic);
  request.overflow = static_cast<uint8_t>(options.overflow);
  request.own_ring = own_ring;
  request.slot_count = options.slot_count;  // The supervisor rounds up and bounds it.
  request.row = row_index;
  auto reply = control_call([&](control::AgentLink& link) { return link.subscribe(request); });
  if (!reply) return give_up(reply.error());
  row.topic_id.store(reply->topic_id, std::memory_order_relaxed);  // Relaxed: for onlookers.
  Source* ring = nullptr;
  if (own_ring) {
    ring = inbox_->add_ring(reply->ring_id, options.overflow == Overflow::DropOldest);
    if (ring == nullptr) {
      return give_up(Error{Errc::Corrupt, 0, "the supervisor named a ring that does not exist", "", "restart ripstopd"});
    }
    row.ring_id.store(reply->ring_id, std::memory_order_relaxed);  // Relaxed: for onlookers.
  }
  return std::make_unique<SubscriberCore>(shared_from_this(), std::move(request.topic), reply->topic_id,
                                          reply->subscription_id, ring, row);
}

Result<std::unique_ptr<ChannelCore>> AgentCore::open_channel(std::string_view name, const ChannelOptions& options, bool sender) {
  if (!usable()) return unusable();
  if (auto checked = control::check_name(name); !checked) return checked.error();
  control::ChannelOpenRequest request;
  request.name = name;
  request.end = sender ? control::ChannelEnd::Sender : control::ChannelEnd::Receiver;
  request.payload_bytes = options.payload_bytes;
  request.slot_count = options.slot_count == 0 ? 1 : options.slot_count;  // Rounded up and bounded there.
  auto reply = control_call([&](control::AgentLink& link) { return link.open_channel(request); });
  if (!reply) return reply.error();
  const auto place = map_->channel(reply->ring_id);
  if (!place) return Error{Errc::Corrupt, 0, "the supervisor named a channel that does not exist", "", "restart ripstopd"};
  return std::make_unique<ChannelCore>(shared_from_this(), reply->ring_id, *place, sender);
}

}  // namespace ripstop::detail
