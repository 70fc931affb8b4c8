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

void PublisherCore::ring_all() noexcept {
  for (Receiver& receiver : receivers_) {
    // Relaxed: the push before was a swap, a full fence; a direct lane's sleepers bring it themselves.
    if (ring::needs_ring(receiver.doorbell->load(std::memory_order_relaxed), receiver.last_rung)) {
      ring::ring_doorbell(*receiver.doorbell, receiver.last_rung);
      hot_count_ = std::min(hot_count_, 0);
    }
  }
}

}  // namespace ripstop::detail
