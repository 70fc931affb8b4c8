// A send's way through the rings: room at every receiver, the pushes of what is committed, the bells.
#include <sched.h>

#include <algorithm>

#include "agent/agent_core.h"
#include "agent/publisher_core.h"
#include "base/cache_line.h"
#include "memory/evict.h"
#include "ring/doorbell.h"
#include "ring/space.h"

namespace ripstop::detail {

// Where the next push to the receiver belongs. The slot itself is with its receiver, who spins on it,
// and each look would cost a transfer before the swap's own; so as long as the two hints say that there
// is room, the slot is taken to be what it must be then, and the swap finds out.
ring::Tail PublisherCore::look_for_room(Receiver& receiver, std::size_t lane) noexcept {
  const ring::MpmcRing& ring = receiver.lanes[lane];
  if (const auto tail = ring.guess_tail(receiver.incarnation, receiver.head_seen[lane])) return *tail;
  return ring.find_tail(receiver.incarnation);
}

ring::Tail PublisherCore::wait_for_room(Receiver& receiver, std::size_t lane, uint64_t wait_until_ns) noexcept {
  ring::MpmcRing& ring = receiver.lanes[lane];
  const uint64_t start_ns = agent_->now_ns();
  ring_all();  // This one may sleep on what we have pushed, and the others need not wait with us.
  for (;;) {
    ring::Tail tail = ring.find_tail(receiver.incarnation);
    if (tail.outcome != ring::Push::Full) return tail;
    const uint64_t now = agent_->now_ns();
    if (now >= wait_until_ns) return tail;
    if (now - start_ns < kSpinForRoomNs) {
      base::spin_pause();
      continue;
    }
    if (now - start_ns < kYieldForRoomNs) {
      sched_yield();
      continue;
    }
    ring::wait_for_space(*receiver.back, wait_until_ns - now, [&]() noexcept {
      return ring.find_tail(receiver.incarnation).outcome != ring::Push::Full;
    });
  }
}

void PublisherCore::find_room(std::size_t lane, uint64_t wait_until_ns, Sent& sent) noexcept {
  targets_.clear();
  // All their lines at once, instead of one after the other.
  for (const Receiver& receiver : receivers_) receiver.lanes[lane].prefetch_tail();
  for (uint32_t i = 0; i < receivers_.size(); ++i) {
    Receiver& receiver = receivers_[i];
    ring::Tail tail = look_for_room(receiver, lane);
    if (tail.outcome == ring::Push::Full && receiver.overflow == Overflow::Block && wait_until_ns != 0) {
      tail = wait_for_room(receiver, lane, wait_until_ns);
    }
    switch (tail.outcome) {
      case ring::Push::Ok:
        targets_.push_back({i, tail});
        break;
      case ring::Push::Full:
        if (receiver.overflow == Overflow::DropOldest) {
          targets_.push_back({i, tail});
          break;
        }
        // Relaxed: a counter.
        if (receiver.overflow == Overflow::DropNewest) receiver.row->dropped_count.fetch_add(1, std::memory_order_relaxed);
        ++sent.full_count;
        break;
      case ring::Push::Closed:
      case ring::Push::Stale:
        ++sent.gone_count;
        route_epoch_ = ~uint64_t{0};
        break;
      case ring::Push::Corrupt:
        sent.outcome = SendOutcome::Corrupt;
        ++sent.gone_count;
        break;
    }
  }
}

ring::Push PublisherCore::push_until(Receiver& receiver, ring::Tail tail, const Delivery& delivery, std::size_t lane,
                                     uint64_t wait_until_ns) noexcept {
  ring::MpmcRing& ring = receiver.lanes[lane];
  // Others may take the room that we found; each round somebody made progress.
  for (uint32_t round = 0; round < 4 * ring.slot_count() + 64; ++round) {
    const ring::Push pushed = tail.outcome == ring::Push::Ok
                                  ? ring.push(tail, receiver.incarnation, delivery.reference, delivery.bit, 0)
                                  : tail.outcome;
    if (pushed != ring::Push::Full) return pushed;
    if (receiver.overflow == Overflow::DropOldest) {
      tail = ring.find_tail(receiver.incarnation);
      if (tail.outcome != ring::Push::Full) continue;
      if (!receiver.has_its_ring()) return ring::Push::Stale;
      layout::AgentBlock* taker = agent_->map().block(layout::receiver_agent(receiver.name));
      const memory::Evict evicted =
          memory::evict_oldest(agent_->map().chunks(), ring, tail, receiver.incarnation, *taker);
      if (evicted == memory::Evict::Stuck) return ring::Push::Full;
      // Relaxed: a counter.
      if (evicted == memory::Evict::Dropped) receiver.row->dropped_count.fetch_add(1, std::memory_order_relaxed);
      tail = ring.find_tail(receiver.incarnation);
    } else if (receiver.overflow == Overflow::Block && wait_until_ns != 0) {
      tail = wait_for_room(receiver, lane, wait_until_ns);
      if (tail.outcome == ring::Push::Full) return ring::Push::Full;
    } else {
      return ring::Push::Full;
    }
  }
  return ring::Push::Full;
}

void PublisherCore::push(const Target& target, const Delivery& delivery, std::size_t lane, uint64_t wait_until_ns,
                         Sent& sent) noexcept {
  Receiver& receiver = receivers_[target.receiver];
  const ring::Push pushed = push_until(receiver, target.tail, delivery, lane, wait_until_ns);
  if (pushed == ring::Push::Ok) {
    ++sent.receiver_count;
    return;
  }
  // Committed, but not to this one: it never saw the message.
  (void)memory::release(agent_->map().chunks(), delivery.reference, delivery.bit);
  if (pushed == ring::Push::Full) {
    // Relaxed: a counter.
    if (receiver.overflow != Overflow::Block) receiver.row->dropped_count.fetch_add(1, std::memory_order_relaxed);
    ++sent.full_count;
  } else {
    ++sent.gone_count;
    route_epoch_ = ~uint64_t{0};
    if (pushed == ring::Push::Corrupt) sent.outcome = SendOutcome::Corrupt;
  }
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

Sent PublisherCore::send_to_one(Receiver& receiver, const ring::Tail& tail, const memory::Loaned& root,
                                const Outgoing& message) noexcept {
  layout::ChunkHeader& header = *root.header;
  const uint64_t sequence = row_->sequence.load(std::memory_order_relaxed) + 1;  // Relaxed: our own word.
  write_header(header, message, sequence, 0);
  header.receivers[0] = receiver.name;
  header.receivers[1] = header.receivers[2] = header.receivers[3] = 0;
  commit(root, sequence, 1);

  Sent sent{SendOutcome::Delivered, 1, 0, 0, sequence};
  const ring::Push pushed = receiver.lanes[message.lane].push(tail, receiver.incarnation, root.reference(), 0, 0);
  if (pushed != ring::Push::Ok) [[unlikely]] {
    sent = Sent{SendOutcome::Delivered, 0, 0, 0, sequence};
    push({0, {pushed, tail.position, tail.slot}}, {0, root.reference(), 0}, message.lane,
         wait_until(message.options, message.time_ns), sent);
    conclude(sent, 1);
  }
  if (message.ring) ring_all();
  settle(root, sequence);
  count(sent, message.payload_bytes, message.time_ns);
  sender_->heap.prefetch(root.class_index);
  if (++hot_count_ == kHotSends) consider_direct(root.class_index, message.lane);
  return sent;
}

Sent PublisherCore::send_to_all(const memory::Loaned& root, Links& links, const Outgoing& message) noexcept {
  Sent sent;
  const std::size_t lane = message.lane;
  const uint64_t wait_until_ns = wait_until(message.options, message.time_ns);
  const bool one_segment = links.empty();
  find_room(lane, wait_until_ns, sent);
  if (targets_.empty()) {
    const SendOutcome outcome = sent.outcome == SendOutcome::Corrupt ? SendOutcome::Corrupt
                                : sent.full_count > 0                ? SendOutcome::Full
                                                                     : SendOutcome::Gone;
    return give_up(root, links, sent, outcome, message.time_ns);
  }
  const uint64_t sequence = row_->sequence.load(std::memory_order_relaxed) + 1;  // Relaxed: our own word.
  write_header(*root.header, message, sequence, 0);
  names_.clear();
  deliveries_.clear();
  for (const Target& target : targets_) {
    names_.push_back(receivers_[target.receiver].name);
    deliveries_.push_back({target.receiver, 0, 0});
  }
  const auto bits = name_receivers(sender_->heap, root, names_, deliveries_, links);
  if (!bits) return give_up(root, links, sent, SendOutcome::PoolEmpty, message.time_ns);
  if (!links.empty()) chain_links(root, links);
  commit(root, sequence, *bits);

  for (std::size_t i = 0; i < targets_.size(); ++i) push(targets_[i], deliveries_[i], lane, wait_until_ns, sent);
  if (message.ring) ring_all();
  settle(root, sequence);
  for (const memory::Loaned& link : links) went_out(link);
  links.clear();
  sender_->heap.prefetch(root.class_index);

  sent.sequence = sequence;
  conclude(sent, receivers_.size());
  count(sent, message.payload_bytes, message.time_ns);
  if (one_segment && sent.receiver_count == receivers_.size() && ++hot_count_ == kHotSends) {
    consider_direct(root.class_index, lane);
  }
  return sent;
}

void PublisherCore::wake(Receiver& receiver) noexcept {
  ring::ring_doorbell(*receiver.doorbell, receiver.last_rung);
  hot_count_ = std::min(hot_count_, 0);
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

}  // namespace ripstop::detail
