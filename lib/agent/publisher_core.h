// A topic open for publishing: its route, its row of counters, and the way of a message through them.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/direct_lane.h"
#include "agent/fan_out.h"
#include "agent/receiver.h"
#include "agent/sender.h"
#include "base/counter.h"
#include "ring/doorbell.h"
#include "ripstop/publisher.h"
#include "ripstop/result.h"
#include "ripstop/types.h"

namespace ripstop::detail {

class AgentCore;

// Thread: one at a time.
class PublisherCore {
 public:
  // In place of the number of a topic that the supervisor, who is away, has not named yet.
  static constexpr uint32_t kUnnamedTopic = ~uint32_t{0};

  PublisherCore(std::shared_ptr<AgentCore> agent, std::string topic, uint32_t topic_id, uint64_t topic_hash,
                uint32_t row_index, PublisherOptions options);
  PublisherCore(const PublisherCore&) = delete;
  PublisherCore& operator=(const PublisherCore&) = delete;
  ~PublisherCore();

  // A chunk for `payload_bytes`, from the smallest class that has one. `root`: for the first segment.
  // Errors: TooLarge, PoolEmpty, SendersFull, Forked.
  Result<memory::Loaned> loan(std::size_t payload_bytes, bool root = true);
  void abort(const memory::Loaned& root, const Links& links) noexcept;

  // Sends `root` with the further segments `links`. The loan is over whatever the outcome.
  // With `ring` false the doorbells wait for ring_all(). `links` is left empty.
  Sent send(const memory::Loaned& root, uint32_t payload_bytes, Links& links, const SendOptions& options,
            ContentType content_type, bool ring = true) noexcept;
  void ring_all() noexcept {
    for (Receiver& receiver : receivers_) {
      // Relaxed: the push before was a swap, a full fence; a direct lane's sleepers bring it themselves.
      if (ring::needs_ring(receiver.doorbell->load(std::memory_order_relaxed), receiver.last_rung)) [[unlikely]] wake(receiver);
    }
  }

  Result<Loan<Bytes>> loan_bytes(std::size_t payload_bytes);
  Sent send_bytes(Loan<Bytes>& loan, const SendOptions& options, bool ring) noexcept;
  static memory::Loaned chunk_of(const Loan<Bytes>& loan) noexcept;

  const std::string& topic() const noexcept { return topic_; }
  uint32_t topic_id() const noexcept { return topic_id_; }
  const PublisherOptions& options() const noexcept { return options_; }
  uint64_t sequence() const noexcept;
  uint32_t receiver_count() noexcept;
  AgentCore& agent() noexcept { return *agent_; }

 private:
  struct Target {
    uint32_t receiver;
    ring::Tail tail;
  };
  // What a send was asked for.
  struct Outgoing {
    const SendOptions& options;
    uint64_t time_ns;
    uint32_t payload_bytes;
    uint32_t lane;
    ContentType content_type;
    bool ring;
  };

  // A loaned chunk as the first of a message, whatever it was before.
  static void prepare_root(layout::ChunkHeader& header) noexcept;
  // Delivered: the route is up to date. Unnamed, Corrupt, or PoolEmpty: there is no memory for it.
  SendOutcome refresh_route() noexcept;
  // Resolves the route again, and ends the direct lane when the receivers are others now. False: it is damaged,
  // or the topic has receivers and no name.
  bool resolve_route(uint64_t epoch);
  // Of a topic without a name (publisher_naming.cc): whether it has one now; whether no pattern names it.
  bool look_for_name();
  bool has_nobody() const;
  // Takes the calling thread's sender: its heap and its intent are nobody else's. False: it is refused one.
  bool has_sender() { return is_my_sender() || take_sender(); }
  bool is_my_sender() const noexcept { return sender_ != nullptr && sender_->thread == this_thread_mark(); }
  bool take_sender();
  // The same as has_sender(); false also when there is no memory for one.
  bool finds_sender() noexcept;
  ring::Tail look_for_room(Receiver& receiver, std::size_t lane) noexcept;
  // Looks for room at every receiver; fills targets_ and counts the others in `sent`.
  void find_room(std::size_t lane, uint64_t wait_until_ns, Sent& sent) noexcept;
  ring::Tail wait_for_room(Receiver& receiver, std::size_t lane, uint64_t wait_until_ns) noexcept;
  // Pushes one committed delivery; counts it in `sent`.
  void push(const Target& target, const Delivery& delivery, std::size_t lane, uint64_t wait_until_ns, Sent& sent) noexcept;
  ring::Push push_until(Receiver& receiver, ring::Tail tail, const Delivery& delivery, std::size_t lane,
                        uint64_t wait_until_ns) noexcept;
  Sent send_to_one(Receiver& receiver, const ring::Tail& tail, const memory::Loaned& root, const Outgoing& message) noexcept;
  // Through the direct lane.
  Sent send_direct(const memory::Loaned& root, const Outgoing& message) noexcept;
  // Whether the direct lane has room for a message that was not built in it, now or within the time that
  // waiting for its receivers pays.
  bool wait_for_direct(uint64_t wait_until_ns) noexcept;
  // The route moved around a send through the direct lane: takes back what nobody will take.
  void take_back(layout::Reference reference, Sent& sent) noexcept;
  // Closes it, and asks for no other for a while.
  void give_direct_up() noexcept;
  // A message went out through the rings: opens a direct lane when that will pay.
  void consider_direct(uint32_t class_index, std::size_t lane) noexcept;
  Sent send_to_all(const memory::Loaned& root, Links& links, const Outgoing& message) noexcept;
  void wake(Receiver& receiver) noexcept;
  // The loan is over and nobody has it.
  Sent give_up(const memory::Loaned& root, Links& links, Sent sent, SendOutcome outcome, uint64_t time_ns) noexcept;
  void write_header(layout::ChunkHeader& header, const Outgoing& message, uint64_t sequence, uint8_t flags) noexcept {
    const SendOptions& options = message.options;
    header.sequence = sequence;
    header.publish_time_ns = message.time_ns;
    header.deadline_ns = options.deadline_ns;
    header.payload_bytes = message.payload_bytes;
    header.topic_id = topic_id_;
    header.source = source_;
    header.schema_id = options.schema_id;
    header.checksum = 0;
    header.role = layout::ChunkRole::Root;
    header.priority = static_cast<uint8_t>(message.lane) & 15;
    header.content_type = static_cast<uint8_t>(message.content_type);
    header.flags = static_cast<uint8_t>(flags | (options.trace.sampled ? layout::kFlagTraceSampled : 0));
    header.publisher_row = static_cast<uint8_t>(row_index_);
    header.link = 0;
    header.root = 0;
    header.correlation = options.correlation;
    std::memcpy(header.trace_id, options.trace.trace_id.data(), sizeof header.trace_id);
    std::memcpy(header.span_id, options.trace.span_id.data(), sizeof header.span_id);
  }
  // The intent, then the one store that commits.
  void commit(const memory::Loaned& root, uint64_t sequence, uint64_t bits) noexcept;
  // The loan of a committed chunk is over.
  void went_out(const memory::Loaned& loaned) noexcept;
  // After the pushes and the wakes: nothing is under way any more.
  void settle(const memory::Loaned& root, uint64_t sequence) noexcept;
  // The outcome that the counts add up to.
  static void conclude(Sent& sent, std::size_t receiver_count) noexcept;
  static uint64_t wait_until(const SendOptions& options, uint64_t now) noexcept {
    return options.timeout.count() <= 0 ? 0 : now + static_cast<uint64_t>(options.timeout.count());
  }
  void count(const Sent& sent, uint32_t payload_bytes, uint64_t time_ns) noexcept {
    if (sent.receiver_count > 0) {
      base::count_up(row_->message_count, 1);
      base::count_up(row_->byte_count, payload_bytes);
      base::count_up(row_->delivery_count, sent.receiver_count);
    }
    if (sent.full_count > 0) base::count_up(row_->full_count, sent.full_count);
    if (sent.outcome == SendOutcome::NoReceiver) base::count_up(row_->none_count, 1);
    row_->last_time_ns.store(time_ns, std::memory_order_relaxed);  // Relaxed: for whoever looks.
  }

  // A direct lane is considered after so many messages that could have gone through one.
  static constexpr int32_t kHotSends = 64;
  // A blocked publisher spins as long as a taker needs for a few messages, then gives its processor to
  // whoever may be that taker, then sleeps.
  static constexpr uint64_t kSpinForRoomNs = 2'000;
  static constexpr uint64_t kYieldForRoomNs = 100'000;

  std::shared_ptr<AgentCore> agent_;
  std::string topic_;
  uint32_t topic_id_;
  uint32_t shard_;
  uint32_t row_index_;
  PublisherOptions options_;
  uint32_t source_;  // Our agent, as headers name it.
  layout::PublisherRow* row_;
  Sender* sender_ = nullptr;
  uint64_t route_epoch_ = ~uint64_t{0};
  std::vector<Receiver> receivers_;
  DirectLane direct_;
  // Messages in a row that a direct lane could have taken, to receivers that were awake.
  int32_t hot_count_ = 0;
  // Scratch of one send, kept to save the allocation.
  std::vector<Target> targets_;
  std::vector<uint32_t> names_;
  std::vector<Delivery> deliveries_;
  uint64_t name_asked_ns_ = 0;  // When the supervisor was last asked to name the topic.
};

}  // namespace ripstop::detail
