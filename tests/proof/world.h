// A fabric to kill in: the supervisor's own registry and memory, and every agent of it, in this process.
//
// A forked child that acts for one of the agents is a process like any other: it shares the memory and
// has what that agent keeps to itself. Another one, after enter_copy(), has the same memory as a copy, and
// all the other agents in the state they are in: there recovery runs and the survivors go on.
//
// The ledger says what is where, beside the memory under test: which messages lie in which subscription.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/agent_core.h"
#include "agent/channel_core.h"
#include "agent/publisher_core.h"
#include "agent/subscriber_core.h"
#include "ripstop/publisher.h"
#include "ripstop/subscriber.h"
#include "supervisor/registry.h"
#include "supervisor/segment_manager.h"

namespace ripstop::proof {

struct Shape {
  uint32_t agents = 4;
  uint32_t lane_slots = 4;
  uint32_t slab_chunks = 8;
  uint32_t slabs = 8;  // Of the class that all messages fit into.
  uint32_t dead_letters = 1024;
  bool successors = false;  // What the dead had not handled waits for one; else it is released.
};

inline constexpr uint32_t kPayloadBytes = 256;
inline constexpr const char* kTopic = "proof.topic";
inline constexpr const char* kChannel = "proof.channel";

using Message = ripstop::Message<Bytes>;
using Loan = ripstop::Loan<Bytes>;

// What a payload says: a number nobody else has, and its complement.
struct Payload {
  uint64_t id;
  uint64_t complement;
};

class World;

// One subscription, and what the ledger says lies in it.
struct Subscription {
  std::unique_ptr<detail::SubscriberCore> core;
  uint32_t ring_id = 0;
  uint32_t slot_count = 0;
  uint32_t room = 0;  // Messages that fit; more than slots where there is a direct lane.
  Overflow overflow = Overflow::Block;
  std::deque<uint64_t> expected;
  uint64_t last_taken = 0;  // What take() found last: a number, ~0 when it is torn, 0 when there was none.

  // The next message's number, 0 when there is none, ~0 when it is torn.
  uint64_t take_and_release();
  std::optional<Message> take();
};

// A message in an agent's hands, and what it said when it was taken.
struct Kept {
  Message message;
  uint64_t id;
};

struct Member {
  supervisor::AgentPlace place;
  std::string name;
  std::shared_ptr<detail::AgentCore> core;
  std::unique_ptr<detail::PublisherCore> publisher;  // Of kTopic.
  std::deque<Subscription> subscriptions;            // To kTopic, or a pattern that names it.
  std::deque<Kept> in_hand;
  std::optional<Loan> loan;
  std::vector<memory::Loaned> further;  // More segments of the loan.
  std::unique_ptr<detail::ChannelCore> channel;  // One end of kChannel.
  std::deque<uint64_t> channel_expected;         // What the ledger says lies in it, for its receiver.
  std::optional<Sent> last_sent;
  uint64_t sent_count = 0;  // Messages of World::send(): the publisher's row must say so.
  bool dead = false;  // Settled, or about to be: nobody asks it any more.

  void open_publisher();
  bool take_loan();
  void take_further(uint32_t count);
  Sent send_loan();
  Sent send();
};

class World {
 public:
  explicit World(const Shape& shape);
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Member& attach(const std::string& name);
  // In this order: inbox subscriptions of one agent, then rings of its own.
  // `to`: kTopic, or a pattern that names it.
  Subscription& subscribe(Member& member, const SubscriberOptions& options = {}, const char* to = kTopic);

  // One end of kChannel, of kPayloadBytes and four slots.
  void open_channel(Member& member, control::ChannelEnd end);

  // What a test says that a user would do, with the ledger: the message reaches every subscription with
  // room, and pushes the oldest out where the policy says so.
  uint64_t send(Member& publisher);
  void receive(Member& receiver);                     // Takes one of each subscription and releases it.
  void keep(Member& receiver);                        // Takes one of each subscription and keeps it.

  struct Mapping {
    void* address;
    std::size_t bytes;
    int protection;
    bool is_control;
  };
  // Where an agent, and where the supervisor has the memory.
  std::vector<Mapping> mappings_of(const Member& member) const;
  std::vector<Mapping> mappings_of_supervisor() const;

  // From now on this process, a child, has the memory to itself: in all its mappings, or in these.
  void enter_copy();
  void enter_copy(std::span<const Mapping> mappings);
  // Copies the memory as it is to where enter_copy() finds it. The first call allocates.
  void prepare_copy();
  // Another supervisor begins where the last one was killed: it knows what the memory says.
  void take_over();

  // The node's memory but for the histograms, which are for onlookers only.
  struct Part {
    const std::byte* first;
    std::size_t bytes;
  };
  std::vector<Part> parts() const;
  std::vector<std::byte> save() const;
  void restore(const std::vector<std::byte>& saved);
  // What the supervisor writes; the rest of it are tables that it fills once.
  std::span<std::byte> control() const;

  supervisor::Registry& registry() { return *registry_; }
  const supervisor::SegmentManager& segments() const { return *segments_; }
  const control::FabricMap& map() const { return segments_->map(); }
  std::deque<Member>& members() { return members_; }
  const Shape& shape() const { return shape_; }
  uint64_t next_id() { return ++last_id_; }
  uint64_t last_id() const { return last_id_; }

  // Who sent a message with that number: its place among the members, 0 the victim. The ledger's.
  std::size_t sender_of(uint64_t id) const { return senders_.at(id); }
  void note_sender(uint64_t id, const Member& sender);

  static uint64_t read(const Message& message);

 private:
  std::vector<Mapping> mappings() const;
  std::vector<Mapping> mappings_around(const void* control, const void* node) const;
  std::span<std::byte> node() const;

  Shape shape_;
  std::optional<supervisor::SegmentManager> segments_;
  std::optional<supervisor::Registry> registry_;
  std::deque<Member> members_;
  int copy_fds_[2] = {-1, -1};  // Control segment, node.
  std::byte* copies_[2] = {nullptr, nullptr};
  std::vector<Mapping> mappings_;
  bool copied_ = false;
  uint64_t last_id_ = 0;
  std::array<uint8_t, 8192> senders_{};  // By number.
};

// The world that builders and operations of a payload number their messages with.
inline World* the_world = nullptr;

}  // namespace ripstop::proof
