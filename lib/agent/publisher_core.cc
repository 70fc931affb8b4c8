// The order of a send, which recovery relies on (architecture.md §3):
//   1. room is looked for; 2. the header and the receivers' names are written; 3. the intent names the
//   root in the agent's block; 4. one store gives the root its delivery bits: the commit; 5. the pushes;
//   6. the doorbells; 7. the row's sequence; 8. the intent is cleared.
// Through a direct lane (direct_send.cc) the commit is the push, and 1, 2's names and 5 are not there.
// The design has the publisher keep its own bit over the pushes. Here the intent does that work: it
// lies in a line that only the publisher writes, where the bit would pull the holders' line back from
// the receiver that is about to release it (three transfers of a line for each message). After a kill
// the intent and the holders say the same: generation unchanged and only the publisher's bit: not
// committed; otherwise committed, and each bit that is still there is looked for along its way.
#include "agent/publisher_core.h"

#include <algorithm>
#include <cstring>

#include "agent/agent_core.h"
#include "base/counter.h"
#include "control/pattern_view.h"
#include "ring/doorbell.h"

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

bool PublisherCore::has_sender() {
  if (sender_ == nullptr || sender_->thread != this_thread_mark()) sender_ = agent_->senders().mine();
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

// Where the next push to the receiver belongs. The slot itself is with its receiver, who spins on it,
// and each look would cost a transfer before the swap's own; so as long as the two hints say that there
// is room, the slot is taken to be what it must be then, and the swap finds out.
ring::Tail PublisherCore::look_for_room(Receiver& receiver, std::size_t lane) noexcept {
  const ring::MpmcRing& ring = receiver.lanes[lane];
  if (const auto tail = ring.guess_tail(receiver.incarnation, receiver.head_seen[lane])) return *tail;
  return ring.find_tail(receiver.incarnation);
}

void PublisherCore::count(const Sent& sent, uint32_t payload_bytes, uint64_t time_ns) noexcept {
  if (sent.receiver_count > 0) {
    base::count_up(row_->message_count, 1);
    base::count_up(row_->byte_count, payload_bytes);
    base::count_up(row_->delivery_count, sent.receiver_count);
  }
  if (sent.full_count > 0) base::count_up(row_->full_count, sent.full_count);
  if (sent.outcome == SendOutcome::NoReceiver) base::count_up(row_->none_count, 1);
  row_->last_time_ns.store(time_ns, std::memory_order_relaxed);  // Relaxed: for whoever looks.
}

Sent PublisherCore::give_up(const memory::Loaned& root, Links& links, Sent sent, SendOutcome outcome,
                            uint64_t time_ns) noexcept {
  abort(root, links);
  links.clear();
  sent.outcome = outcome;
  count(sent, 0, time_ns);
  return sent;
}

void PublisherCore::write_header(layout::ChunkHeader& header, uint32_t payload_bytes, std::size_t lane, uint64_t time_ns,
                                 uint64_t sequence, const SendOptions& options) noexcept {
  header.sequence = sequence;
  header.publish_time_ns = time_ns;
  header.deadline_ns = options.deadline_ns;
  header.payload_bytes = payload_bytes;
  header.topic_id = topic_id_;
  header.source = source_;
  header.schema_id = options.schema_id;
  header.checksum = 0;
  header.role = layout::ChunkRole::Root;
  header.priority = static_cast<uint8_t>(lane) & 15;
  header.content_type = static_cast<uint8_t>(options.content_type);
  header.flags = options.trace.sampled ? layout::kFlagTraceSampled : uint8_t{0};
  header.publisher_row = static_cast<uint8_t>(row_index_);
  header.link = 0;
  header.root = 0;
  header.correlation = options.correlation;
  std::memcpy(header.trace_id, options.trace.trace_id.data(), sizeof header.trace_id);
  std::memcpy(header.span_id, options.trace.span_id.data(), sizeof header.span_id);
}

void PublisherCore::commit(const memory::Loaned& root, uint64_t sequence, uint64_t bits) noexcept {
  layout::SenderIntent& intent = *sender_->intent;
  // Relaxed: the last store of the intent publishes them.
  intent.generation.store(root.generation, std::memory_order_relaxed);
  intent.sequence.store(sequence, std::memory_order_relaxed);
  intent.row.store(row_index_, std::memory_order_relaxed);
  intent.root.store(root.reference(), std::memory_order_release);  // R(intent)
  agent_->start_watch();
  memory::commit(*root.header, bits);
}

void PublisherCore::went_out(const memory::Loaned& loaned) noexcept {
  if (direct_.has(loaned.chunk)) return direct_.loan_ended();
  sender_->heap.sent(loaned);
}

void PublisherCore::settle(const memory::Loaned& root, uint64_t sequence) noexcept {
  row_->sequence.store(sequence, std::memory_order_release);  // R(sequence)
  sender_->intent->root.store(0, std::memory_order_release);  // R(intent)
  went_out(root);
}

Sent PublisherCore::send(const memory::Loaned& root, uint32_t payload_bytes, Links& links, const SendOptions& options,
                         bool ring) noexcept {
  if (!agent_->usable()) [[unlikely]] {
    links.clear();
    return Sent{agent_->forked() ? SendOutcome::Forked : SendOutcome::Detached, 0, 0, 0, 0};
  }
  // The publisher may have come to another thread with its loan, and that one may be refused a sender.
  if (!finds_sender()) [[unlikely]] return give_up(root, links, {}, SendOutcome::PoolEmpty, agent_->now_ns());
  const auto lane = std::min<std::size_t>(static_cast<std::size_t>(options.priority), layout::kLaneCount - 1);
  const uint64_t now = agent_->now_ns();
  if (options.deadline_ns != 0 && options.deadline_ns <= now) return give_up(root, links, {}, SendOutcome::Expired, now);
  if (const SendOutcome route = refresh_route(); route != SendOutcome::Delivered) [[unlikely]] return give_up(root, links, {}, route, now);
  if (receivers_.empty()) return give_up(root, links, {}, SendOutcome::NoReceiver, now);
  if (direct_.has(root.chunk)) {
    if (direct_.is_open() && lane == direct_.priority() && links.empty()) {
      return send_direct(root, payload_bytes, lane, options, now, ring);
    }
    (void)memory::mark_loaned(*root.header);  // Through the rings it goes as every other chunk.
    prepare_root(*root.header);
  } else if (direct_.fits(payload_bytes) && lane == direct_.priority() && links.empty() &&
             wait_for_direct(wait_until(options, now))) {
    // Built elsewhere, because the lane was full or its chunk was out. A copy of so little costs less
    // than the way through the rings, and the order needs no merging. Only damage takes the room back.
    if (const auto mine = direct_.loan(0)) {
      std::memcpy(memory::payload(*mine->header), memory::payload(*root.header), payload_bytes);
      abort(root, {});
      return send_direct(*mine, payload_bytes, lane, options, now, ring);
    }
  }
  if (receivers_.size() == 1 && links.empty()) [[likely]] {
    // The usual case, without the lists: one receiver with room.
    Receiver& receiver = receivers_.front();
    const ring::Tail tail = look_for_room(receiver, lane);
    if (tail.outcome == ring::Push::Ok) [[likely]] {
      return send_to_one(receiver, tail, root, payload_bytes, lane, options, now, ring);
    }
  }
  return send_to_all(root, payload_bytes, links, lane, options, now, ring);
}

Sent PublisherCore::send_to_one(Receiver& receiver, const ring::Tail& tail, const memory::Loaned& root,
                                uint32_t payload_bytes, std::size_t lane, const SendOptions& options, uint64_t now,
                                bool ring) noexcept {
  layout::ChunkHeader& header = *root.header;
  const uint64_t sequence = row_->sequence.load(std::memory_order_relaxed) + 1;  // Relaxed: our own word.
  write_header(header, payload_bytes, lane, now, sequence, options);
  header.receivers[0] = receiver.name;
  header.receivers[1] = header.receivers[2] = header.receivers[3] = 0;
  commit(root, sequence, 1);

  Sent sent{SendOutcome::Delivered, 1, 0, 0, sequence};
  const ring::Push pushed = receiver.lanes[lane].push(tail, receiver.incarnation, root.reference(), 0, 0);
  if (pushed != ring::Push::Ok) [[unlikely]] {
    sent = Sent{SendOutcome::Delivered, 0, 0, 0, sequence};
    push({0, {pushed, tail.position, tail.slot}}, {0, root.reference(), 0}, lane, wait_until(options, now), sent);
    conclude(sent, 1);
  }
  // Relaxed: the push was a swap, a full fence.
  if (ring && ring::needs_ring(receiver.doorbell->load(std::memory_order_relaxed), receiver.last_rung)) {
    ring::ring_doorbell(*receiver.doorbell, receiver.last_rung);
    hot_count_ = std::min(hot_count_, 0);
  }
  settle(root, sequence);
  count(sent, payload_bytes, now);
  sender_->heap.prefetch(root.class_index);
  if (++hot_count_ == kHotSends) consider_direct(root.class_index, lane);
  return sent;
}

Sent PublisherCore::send_to_all(const memory::Loaned& root, uint32_t payload_bytes, Links& links, std::size_t lane,
                                const SendOptions& options, uint64_t now, bool ring) noexcept {
  Sent sent;
  const uint64_t wait_until_ns = wait_until(options, now);
  const bool one_segment = links.empty();
  find_room(lane, wait_until_ns, sent);
  if (targets_.empty()) {
    const SendOutcome outcome = sent.outcome == SendOutcome::Corrupt ? SendOutcome::Corrupt
                                : sent.full_count > 0                ? SendOutcome::Full
                                                                     : SendOutcome::Gone;
    return give_up(root, links, sent, outcome, now);
  }
  const uint64_t sequence = row_->sequence.load(std::memory_order_relaxed) + 1;  // Relaxed: our own word.
  write_header(*root.header, payload_bytes, lane, now, sequence, options);
  names_.clear();
  deliveries_.clear();
  for (const Target& target : targets_) {
    names_.push_back(receivers_[target.receiver].name);
    deliveries_.push_back({target.receiver, 0, 0});
  }
  const auto bits = name_receivers(sender_->heap, root, names_, deliveries_, links);
  if (!bits) return give_up(root, links, sent, SendOutcome::PoolEmpty, now);
  if (!links.empty()) chain_links(root, links);
  commit(root, sequence, *bits);

  for (std::size_t i = 0; i < targets_.size(); ++i) push(targets_[i], deliveries_[i], lane, wait_until_ns, sent);
  if (ring) ring_all();
  settle(root, sequence);
  for (const memory::Loaned& link : links) went_out(link);
  links.clear();
  sender_->heap.prefetch(root.class_index);

  sent.sequence = sequence;
  conclude(sent, receivers_.size());
  count(sent, payload_bytes, now);
  if (one_segment && sent.receiver_count == receivers_.size() && ++hot_count_ == kHotSends) {
    consider_direct(root.class_index, lane);
  }
  return sent;
}

uint64_t PublisherCore::wait_until(const SendOptions& options, uint64_t now) noexcept {
  return options.timeout.count() <= 0 ? 0 : now + static_cast<uint64_t>(options.timeout.count());
}

void PublisherCore::conclude(Sent& sent, std::size_t receiver_count) noexcept {
  if (sent.outcome == SendOutcome::Corrupt && sent.receiver_count == 0) return;
  if (sent.receiver_count == receiver_count && sent.gone_count == 0) {
    sent.outcome = SendOutcome::Delivered;
  } else if (sent.receiver_count > 0) {
    sent.outcome = SendOutcome::Partial;
  } else {
    sent.outcome = sent.full_count > 0 ? SendOutcome::Full : SendOutcome::Gone;
  }
}

memory::Loaned PublisherCore::chunk_of(const Loan<Bytes>& loan) noexcept {
  auto* header = reinterpret_cast<layout::ChunkHeader*>(loan.data_ - layout::kChunkHeaderBytes);
  return {header, loan.chunk_, loan.generation_, loan.class_index_};
}

Sent PublisherCore::send_bytes(Loan<Bytes>& loan, const SendOptions& options, bool ring) noexcept {
  if (loan.publisher_ == nullptr) return Sent{SendOutcome::Detached, 0, 0, 0, 0};  // Sent or dropped before.
  Links links;
  const Sent sent = send(chunk_of(loan), loan.size_, links, options, ring);
  loan.publisher_ = nullptr;
  loan.data_ = nullptr;  // It is the receivers' now.
  loan.size_ = 0;
  return sent;
}

}  // namespace ripstop::detail
