// Who is there and who receives what: the only writer of the control segment.
//
// An agent's entry goes FREE -> LIVE -> DEAD -> FREE by one store each; a route changes by a new block
// and one store of its topic's word. Whoever reads sees the state before or after, never between.
// A supervisor that takes over finds everything in the segment: nothing here is kept elsewhere.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/dead_letters.h"
#include "control/settlement.h"
#include "control/soft_lease.h"
#include "control/wire.h"
#include "ripstop/result.h"
#include "supervisor/pattern_book.h"
#include "supervisor/ring_directory.h"
#include "supervisor/route_arena.h"
#include "supervisor/segment_manager.h"
#include "supervisor/topic_names.h"
#include "supervisor/topic_policy.h"

namespace ripstop::supervisor {

struct AgentIdentity {
  std::string name;
  uint32_t pid = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t pidfd_inode = 0;
  std::string program;
  uint32_t flags = 0;
  uint64_t ticket = 0;
};

struct AgentPlace {
  uint32_t id = 0;
  uint64_t incarnation = 0;
  uint32_t node_index = 0;
};

class Registry {
 public:
  // Lifetime: `segments` outlives it. `letters`: what becomes of messages of the dead; as it is, released.
  // `topics`: which names there may be; as it is, all.
  explicit Registry(const SegmentManager& segments, const control::LetterPolicy& letters = {}, TopicPolicy topics = {});
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;

  // --- agents -----------------------------------------------------------------------------------
  // `node_index`: where its block should lie; another node's when that one is full.
  // Errors: NameTaken (names id and pid), AgentsFull.
  // `before_live`: called with the place before anybody can see it.
  Result<AgentPlace> attach(const AgentIdentity& identity, uint32_t node_index,
                            const std::function<void(const AgentPlace&)>& before_live = {});
  // What a dead agent of the name left waits for this one (dead_letters.h), and its publishers go on with the
  // sequences of the last one, be it dead or detached, that ended within the grace time.
  // Ends an agent, by death or detach: DEAD, out of all routes, settled, FREE. `died`: count it so.
  void settle(uint32_t agent_id, bool died);
  std::optional<uint32_t> find_agent(std::string_view name) const noexcept;
  const layout::AgentEntry& agent(uint32_t agent_id) const noexcept { return agents_[agent_id]; }
  layout::AgentState agent_state(uint32_t agent_id) const noexcept;
  uint64_t agent_incarnation(uint32_t agent_id) const noexcept;
  // Ids of all agents that are not FREE.
  std::vector<uint32_t> agents() const;

  // --- topics and subscriptions -------------------------------------------------------------------
  // Errors: BadTopic, UnknownTopic, TopicsFull.
  Result<uint32_t> topic(std::string_view name);
  const char* topic_name(uint32_t topic_id) const noexcept {
    return topic_id < super_.topic_capacity ? topics_[topic_id].name : "?";
  }
  // To a topic or a pattern. A request that comes again with its ticket gets the subscription it made.
  // Errors: BadTopic, UnknownTopic, TopicsFull, SubscriptionsFull, RingsFull, Protocol (a field is out of bounds).
  Result<control::SubscribeReply> subscribe(uint32_t agent_id, const control::SubscribeRequest& request);
  // Errors: NotFound (not a subscription of this agent).
  Result<void> unsubscribe(uint32_t agent_id, uint32_t subscription_id);

  // --- dead letters -------------------------------------------------------------------------------
  // By their serial; 0: all. Return how many.
  uint32_t drop_letters(uint64_t serial) { return letters_.drop(serial); }
  uint32_t replay_letters(uint64_t serial);
  void expire_letters(uint64_t now_ns) { letters_.expire(now_ns); }
  // When that has something to do; 0: never.
  uint64_t next_expiry_ns() const { return letters_.next_expiry_ns(); }

  // What agents have had in hand for longer than the lease goes on without them (soft_lease.h).
  std::vector<control::Revoked> revoke_overdue(uint64_t now_ns, const control::SoftLeasePolicy& policy);

  // --- channels -------------------------------------------------------------------------------------
  // A request that comes again with its ticket gets the end it opened.
  // Errors: BadName, ChannelBusy (names who has that end), WrongGeometry, RingsFull, Protocol.
  Result<control::ChannelReply> open_channel(uint32_t agent_id, const control::ChannelOpenRequest& request);
  // Errors: NotFound (this agent does not have that end).
  Result<void> close_channel(uint32_t agent_id, uint32_t ring_id, control::ChannelEnd end);

 private:
  template <class T>
  T* table(uint64_t offset) const noexcept {
    return reinterpret_cast<T*>(segments_.control_data() + offset);
  }
  void take_over();
  // Ends rings whose subscription was not made any more, or was ended before them, when a kill came.
  void end_stray_queues();
  uint64_t next_incarnation() noexcept;
  // For a ring of its own: a name in a message has the low bits only, and no other ring of the agent has them.
  uint64_t next_ring_incarnation(uint32_t agent_id) noexcept;

  // Makes a topic's entry one that is found by its name.
  void list_topic(uint32_t topic_id) noexcept;
  // Makes the topics that the policy declares, as far as there is room.
  void declare_topics();
  // A subscription's topic_id is a topic's or a pattern's; so are these.
  Result<uint32_t> topic_or_pattern(std::string_view text);
  std::vector<uint32_t>& subscriptions_to(uint32_t topic_id);
  std::vector<layout::RouteReceiver> receivers_of(const std::vector<uint32_t>& subscriptions) const;
  // False when the arena has no room: the old route stays, and what it names of the dead is refused by
  // their rings.
  bool publish_route(uint32_t topic_id);
  bool publish_topic_route(uint32_t topic_id);
  // Until blocks that were retired can be used again. False: none was.
  bool wait_for_reuse() const noexcept;
  void move_epochs(uint64_t shards) noexcept;  // A bit each.
  // Whether messages of the topic come to the subscription.
  bool is_to(uint32_t subscription_id, uint32_t topic_id) const;
  // Whether what a route names is there still.
  bool is_subscribed(const layout::RouteReceiver& receiver) const noexcept;
  // Whether a message may come to both.
  static bool overlap(uint32_t topic_id, uint32_t other_id) noexcept;
  void free_subscription(uint32_t subscription_id) noexcept;
  // Closes a queue whose subscription has ended, and frees it.
  void end_queue(uint32_t ring_id);
  void free_ring(uint32_t ring_id) noexcept;
  std::vector<uint32_t> queues_of(uint32_t agent_id, uint64_t incarnation) const;
  void count(const control::Settled& settled) noexcept;
  // A free place on the node, rather one whose last agent's sequences nobody can ask for any more.
  std::optional<uint32_t> free_place(uint32_t node_index) const noexcept;
  // The last agent of the name, when it ended within the grace time.
  std::optional<uint32_t> find_predecessor(std::string_view name) const noexcept;
  bool is_in_grace(const layout::AgentEntry& entry) const noexcept;
  layout::RouteReceiver receiver_of(uint32_t subscription_id) const noexcept;
  // Where the letters of a subscription's agent go, and what waits for it.
  control::DeadLetters::Destination destination_of(const layout::RouteReceiver& receiver) const noexcept;
  uint8_t place_of(uint32_t ring_id) const noexcept;
  uint8_t next_place(uint32_t agent_id, uint32_t topic_id) const noexcept;
  void hand_over(uint32_t subscription_id);
  void hand_over_all();
  void leave_channel(uint32_t ring_id, control::ChannelEnd end);

  const SegmentManager& segments_;
  layout::Superblock& super_;
  layout::AgentEntry* agents_;
  layout::TopicEntry* topics_;
  layout::TopicBucket* buckets_;
  layout::SubscriptionEntry* subscriptions_;
  std::byte* routes_;
  RouteArena route_arena_;
  TopicPolicy topic_policy_;
  TopicNames topic_names_;
  PatternBook patterns_;
  RingDirectory rings_;
  control::DeadLetters letters_;
  control::Settlement settlement_;
  control::SoftLease soft_lease_;
  // What the segment says too, the other way round.
  std::vector<std::vector<uint32_t>> topic_subscriptions_;
  std::vector<std::vector<uint32_t>> agent_subscriptions_;
  std::vector<uint32_t> free_subscriptions_;
  uint64_t subscription_serial_ = 0;
};

}  // namespace ripstop::supervisor
