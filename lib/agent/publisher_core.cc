// The order of a send, which recovery relies on (architecture.md §3):
//   1. room is looked for; 2. the header and the receivers' names are written; 3. the intent names the
//   root in the agent's block; 4. one store gives the root its delivery bits: the commit; 5. the pushes;
//   6. the doorbells; 7. the row's sequence; 8. the intent is cleared.
// Through a direct lane (direct_lane.h) the commit is the push, and 1, 2's names and 5 are not there.
// The design has the publisher keep its own bit over the pushes. Here the intent does that work: it
// lies in a line that only the publisher writes, where the bit would pull the holders' line back from
// the receiver that is about to release it (three transfers of a line for each message). After a kill
// the intent and the holders say the same: generation unchanged and only the publisher's bit: not
// committed; otherwise committed, and each bit that is still there is looked for along its way.
#include "agent/publisher_core.h"

#include <algorithm>
#include <cstring>

#include "agent/agent_core.h"
#include "control/pattern_view.h"

namespace ripstop::detail {

PublisherCore::PublisherCore(std::shared_ptr<AgentCore> agent, std::string topic, uint32_t topic_id,
                             uint64_t topic_hash, uint32_t row_index, PublisherOptions options)
    : agent_(std::move(agent)),
      topic_(std::move(topic)),
      topic_id_(topic_id),
      shard_(static_cast<uint32_t>(topic_hash & (layout::kEpochShards - 1))),
      row_index_(row_index),
      options_(options),
      source_(agent_->name_word()),
      row_(&agent_->block().publishers[row_index]),
      direct_(agent_->map(), {agent_->id(), agent_->incarnation(), source_, row_index, agent_->node()}) {}

PublisherCore::~PublisherCore() {
  if (!agent_->usable()) return;
  direct_.close();
  agent_->close_row(row_index_);
}

bool PublisherCore::take_sender() {
  sender_ = agent_->senders().mine();
  return sender_ != nullptr;
}

bool PublisherCore::finds_sender() noexcept {
  try {
    return has_sender();
  } catch (const std::bad_alloc&) {
    return false;
  }
}

SendOutcome PublisherCore::refresh_route() noexcept {
  // Read before the route: a change in between makes us look again at the next send.
  const uint64_t epoch = agent_->view().route_epoch(shard_);
  if (epoch == route_epoch_) return SendOutcome::Delivered;
  try {
    if (resolve_route(epoch)) return SendOutcome::Delivered;
    return topic_id_ == kUnnamedTopic ? SendOutcome::Unnamed : SendOutcome::Corrupt;
  } catch (const std::bad_alloc&) {
    return SendOutcome::PoolEmpty;  // The old route stays, and is asked for again.
  }
}

bool PublisherCore::resolve_route(uint64_t epoch) {
  if (topic_id_ == kUnnamedTopic && !look_for_name()) return has_nobody();
  std::vector<layout::RouteReceiver> entries;
  if (!control::find_receivers(agent_->view(), topic_id_, entries)) return false;
  uint32_t corrupt_count = 0;
  std::vector<Receiver> fresh = resolve_receivers(agent_->map(), entries, corrupt_count);
  // All that is allocated comes before the first change.
  targets_.reserve(fresh.size());
  names_.reserve(fresh.size());
  deliveries_.reserve(fresh.size());
  for (Receiver& receiver : fresh) {
    for (const Receiver& old : receivers_) {
      if (old.doorbell == receiver.doorbell) receiver.last_rung = old.last_rung;
    }
  }
  const auto same = [](const Receiver& a, const Receiver& b) {
    return a.name == b.name && a.incarnation == b.incarnation && a.own_ring == b.own_ring;
  };
  if (!std::equal(fresh.begin(), fresh.end(), receivers_.begin(), receivers_.end(), same)) {
    direct_.close();
    hot_count_ = 0;
  }
  receivers_ = std::move(fresh);
  route_epoch_ = epoch;
  return true;
}

uint32_t PublisherCore::receiver_count() noexcept {
  if (agent_->usable()) (void)refresh_route();
  return static_cast<uint32_t>(receivers_.size());
}

uint64_t PublisherCore::sequence() const noexcept {
  // Relaxed: our own word.
  return agent_->usable() ? row_->sequence.load(std::memory_order_relaxed) : 0;
}

Sent PublisherCore::give_up(const memory::Loaned& root, Links& links, Sent sent, SendOutcome outcome,
                            uint64_t time_ns) noexcept {
  abort(root, links);
  links.clear();
  sent.outcome = outcome;
  count(sent, 0, time_ns);
  return sent;
}

// The order, which recovery relies on: the header; the intent's `direct_*` words; one store that gives the
// chunk its members' bits: the commit; a look at the route's epoch; the doorbells; the row's sequence; the
// intent's end.
inline Sent PublisherCore::send_direct(const memory::Loaned& root, const Outgoing& message) noexcept {
  const uint64_t sequence = row_->sequence.load(std::memory_order_relaxed) + 1;  // Relaxed: our own word.
  write_header(*root.header, message, sequence, layout::kFlagDirect);
  // For recovery, which must know the last sequence, and odd until the bells were looked at: the tick looks
  // after receivers whose publisher stops in between. Relaxed: the store of the count publishes them.
  layout::SenderIntent& intent = *sender_->intent;
  intent.direct_root.store(root.reference(), std::memory_order_relaxed);
  intent.sequence.store(sequence, std::memory_order_relaxed);
  intent.row.store(row_index_, std::memory_order_relaxed);
  std::atomic<uint64_t>& under_way = intent.direct_count;
  const uint64_t direct_count = under_way.load(std::memory_order_relaxed);  // Relaxed: our own word.
  under_way.store(direct_count + 1, std::memory_order_release);             // R(intent)
  agent_->start_watch();
  memory::commit(*root.header, direct_.bits());
  // The looks at the epoch and at the bells come after the commit: for the compiler by this, for the
  // processor by the fence of whoever relies on it (recovery, a sleeper).
  std::atomic_signal_fence(std::memory_order_seq_cst);
  direct_.sent();
  Sent sent{SendOutcome::Delivered, static_cast<uint32_t>(receivers_.size()), 0, 0, sequence};
  if (agent_->view().route_epoch(shard_) != route_epoch_) [[unlikely]] take_back(root.reference(), sent);
  if (message.ring) ring_all();
  row_->sequence.store(sequence, std::memory_order_release);  // R(sequence)
  under_way.store(direct_count + 2, std::memory_order_release);  // R(intent)
  count(sent, message.payload_bytes, message.time_ns);
  return sent;
}

Sent PublisherCore::send(const memory::Loaned& root, uint32_t payload_bytes, Links& links, const SendOptions& options,
                         ContentType content_type, bool ring) noexcept {
  if (!agent_->usable()) [[unlikely]] {
    links.clear();
    return Sent{agent_->forked() ? SendOutcome::Forked : SendOutcome::Detached, 0, 0, 0, 0};
  }
  // The publisher may have come to another thread with its loan, and that one may be refused a sender.
  if (!is_my_sender() && !finds_sender()) [[unlikely]] {
    return give_up(root, links, {}, SendOutcome::PoolEmpty, agent_->now_ns());
  }
  const Outgoing message{options, agent_->now_ns(), payload_bytes,
                         std::min<uint32_t>(static_cast<uint32_t>(options.priority), layout::kLaneCount - 1),
                         content_type, ring};
  const uint64_t now = message.time_ns;
  if (options.deadline_ns != 0 && options.deadline_ns <= now) return give_up(root, links, {}, SendOutcome::Expired, now);
  if (agent_->view().route_epoch(shard_) != route_epoch_) [[unlikely]] {
    if (const SendOutcome route = refresh_route(); route != SendOutcome::Delivered) return give_up(root, links, {}, route, now);
  }
  if (receivers_.empty()) return give_up(root, links, {}, SendOutcome::NoReceiver, now);
  if (direct_.has(root.chunk)) {
    if (direct_.is_open() && message.lane == direct_.priority() && links.empty()) [[likely]] return send_direct(root, message);
    (void)memory::mark_loaned(*root.header);  // Through the rings it goes as every other chunk.
    prepare_root(*root.header);
  } else if (direct_.fits(payload_bytes) && message.lane == direct_.priority() && links.empty() &&
             wait_for_direct(wait_until(options, now))) {
    // Built elsewhere, because the lane was full or its chunk was out. A copy of so little costs less
    // than the way through the rings, and the order needs no merging. Only damage takes the room back.
    if (const auto mine = direct_.loan(payload_bytes)) {
      std::memcpy(memory::payload(*mine->header), memory::payload(*root.header), payload_bytes);
      abort(root, {});
      return send_direct(*mine, message);
    }
  }
  if (receivers_.size() == 1 && links.empty()) [[likely]] {
    // The usual case, without the lists: one receiver with room.
    Receiver& receiver = receivers_.front();
    const ring::Tail tail = look_for_room(receiver, message.lane);
    if (tail.outcome == ring::Push::Ok) [[likely]] return send_to_one(receiver, tail, root, message);
  }
  return send_to_all(root, links, message);
}

memory::Loaned PublisherCore::chunk_of(const Loan<Bytes>& loan) noexcept {
  auto* header = reinterpret_cast<layout::ChunkHeader*>(loan.data_ - layout::kChunkHeaderBytes);
  return {header, loan.chunk_, loan.generation_, loan.class_index_};
}

// One object from send() to the caller: a copy of it would wait for its own narrow stores.
Sent PublisherCore::send_bytes(Loan<Bytes>& loan, const SendOptions& options, bool ring) noexcept {
  Links links;
  Sent sent = send(chunk_of(loan), loan.size_, links, options, options.content_type, ring);
  loan.publisher_ = nullptr;
  loan.data_ = nullptr;  // It is the receivers' now.
  loan.size_ = 0;
  return sent;
}

}  // namespace ripstop::detail
