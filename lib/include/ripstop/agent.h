// An attached process or thread: the door to the fabric.
//
//   auto agent = ripstop::Agent::attach({.name = "planner"});
//   auto tasks = agent->publisher<Task>("agent.planner.task.assign");
//   auto plans = agent->subscriber<Plan>("agent.*.plan");
//
// Thread: a Publisher is used by one thread at a time, different publishers by different threads at
// once; publisher() and the channels may be opened by any thread, one at a time. All Subscribers of an
// agent share its inbox and belong to one receiving thread: it opens, reads and ends them, and calls
// next() and fd(). detach() comes when nobody publishes or receives any more. A second receiving thread
// attaches an agent of its own.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "ripstop/channel.h"
#include "ripstop/publisher.h"
#include "ripstop/result.h"
#include "ripstop/subscriber.h"
#include "ripstop/types.h"

namespace ripstop {

struct AgentOptions {
  std::string name;                // [A-Za-z0-9_.-]{1,64}, unique in the fabric while it lives.
  std::string fabric = "default";  // Which supervisor. $RIPSTOP_FABRIC overrides an unchanged default.
  std::string socket;              // Its socket; empty: $XDG_RUNTIME_DIR/ripstop/ or /run/ripstop/.
  Wait wait = Wait::Adaptive;      // How take() and next() wait.
  int node = -1;                   // NUMA node of the inbox; -1: of the processor that calls.
  bool observer = false;           // A tool: counted and listed apart.
  std::chrono::milliseconds timeout = std::chrono::seconds(5);  // For attach and later control calls.
};

class Agent {
 public:
  // Connects to the supervisor, is authenticated by the kernel's credentials, maps the memory.
  //
  // Errors:   BadName, NameTaken (names the holder's pid), Denied, AbiMismatch, LayoutMismatch,
  //           UnsupportedCpu, NoSupervisor, AgentsFull, Draining, Timeout, System.
  // Lifetime: everything made from it ends before it or becomes inert with it.
  static Result<Agent> attach(AgentOptions options);

  // Opens a topic for publishing. T: Bytes, or a Cap'n Proto struct (include ripstop/capnp.h).
  // A topic that somebody has named before needs no supervisor. A new one waits a second for one that is
  // away, and is opened without: its sends say NoReceiver, or Unnamed when a pattern names it, until one is back.
  // Errors: BadTopic, UnknownTopic (with the nearest names), TopicsFull, SendersFull (64 topics an agent),
  // SupervisorGone (it was told to end, or does not know this agent), Forked.
  template <class T = Bytes>
  Result<Publisher<T>> publisher(std::string_view topic, PublisherOptions options = {}) {
    auto opened = open_publisher(topic, options);
    if (!opened) return opened.error();
    return Publisher<T>(std::move(*opened));
  }

  // Subscribes to a topic, or to a pattern of topics: agent.*.plan, agent.**. Every message whose send()
  // begins after it has returned arrives. An agent gets each message once in its inbox, however many of its
  // subscriptions name the topic: the one to that very topic gets it, else the oldest to a pattern. A ring of
  // its own has each message of its subscription, besides.
  // Errors: BadTopic, UnknownTopic, TopicsFull, SubscriptionsFull, RingsFull, SupervisorGone, Forked.
  template <class T = Bytes>
  Result<Subscriber<T>> subscriber(std::string_view topic, SubscriberOptions options = {}) {
    auto opened = open_subscriber(topic, options);
    if (!opened) return opened.error();
    return Subscriber<T>(std::move(*opened));
  }

  // One end of a point-to-point channel: the lowest latency, payload in the slot. The first end to
  // come creates it with its geometry; a peer that asks for another one gets WrongGeometry.
  // Errors: BadName, ChannelBusy (that end is taken; names who), RingsFull, WrongGeometry, SupervisorGone.
  template <class T = Bytes>
  Result<typename Channel<T>::Sender> channel_sender(std::string_view name, ChannelOptions options = {}) {
    auto opened = open_channel_sender(name, options);
    if (!opened) return opened.error();
    return typename Channel<T>::Sender(std::move(*opened));
  }
  template <class T = Bytes>
  Result<typename Channel<T>::Receiver> channel_receiver(std::string_view name, ChannelOptions options = {}) {
    auto opened = open_channel_receiver(name, options);
    if (!opened) return opened.error();
    return typename Channel<T>::Receiver(std::move(*opened));
  }

  // The next message of any subscription, most urgent lane first.
  Take<Message<Bytes>> next(std::chrono::nanoseconds timeout = std::chrono::nanoseconds::max());

  // A descriptor that polls readable while messages may be waiting: for event loops. Starts a helper
  // thread at the first call. After it polls readable, take until Empty, then call clear_fd().
  Result<int> fd();
  void clear_fd() noexcept;

  // Gives everything back. Loans and messages still in hand are not to be read or written any more; ending
  // them is harmless. The destructor does it too.
  Result<void> detach();

  std::string_view name() const noexcept;
  std::string_view fabric() const noexcept;
  uint32_t id() const noexcept;
  std::string topic_name(uint32_t topic_id) const;
  // The largest payload of one chunk.
  std::size_t payload_bytes_max() const noexcept;

  Agent(Agent&&) noexcept;
  Agent& operator=(Agent&&) noexcept;
  ~Agent();

 private:
  explicit Agent(std::shared_ptr<detail::AgentCore> core);
  Result<Publisher<Bytes>> open_publisher(std::string_view topic, const PublisherOptions& options);
  Result<Subscriber<Bytes>> open_subscriber(std::string_view topic, const SubscriberOptions& options);
  Result<Channel<Bytes>::Sender> open_channel_sender(std::string_view name, const ChannelOptions& options);
  Result<Channel<Bytes>::Receiver> open_channel_receiver(std::string_view name, const ChannelOptions& options);

  std::shared_ptr<detail::AgentCore> core_;
};

// Whether `name` may name an agent, a fabric or a channel; BadName says what is wrong with it.
Result<void> check_name(std::string_view name);
// Whether `topic` may be published; BadTopic says what is wrong with it, and where.
Result<void> check_topic(std::string_view topic);
// Whether `pattern`, or topic, may be subscribed to; BadTopic says what is wrong with it, and where.
Result<void> check_pattern(std::string_view pattern);
// Whether the pattern, or topic, names the topic. Both are right (see above).
bool pattern_matches(std::string_view pattern, std::string_view topic);

}  // namespace ripstop
