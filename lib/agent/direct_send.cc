// A publisher's way through its direct lane: when it opens one, the send, and waiting for room.
//
// The order of a send, which recovery relies on: the header; the intent's `direct_*` words; one store
// that gives the chunk its members' bits: the commit; a look at the route's epoch; the doorbells; the
// row's sequence; the intent's end.
#include <sched.h>

#include <cstring>

#include "agent/agent_core.h"
#include "agent/publisher_core.h"
#include "base/cache_line.h"
#include "ring/doorbell.h"
#include "ring/space.h"

namespace ripstop::detail {

namespace {

// After a lane was refused, the next one is asked for a good while later.
constexpr int32_t kHotSendsAfterRefusal = 1 << 16;
// Above this a message's payload, not its way, is what it costs.
constexpr uint32_t kDirectPayloadBytes = 1024;

}  // namespace

Sent PublisherCore::send_direct(const memory::Loaned& root, uint32_t payload_bytes, std::size_t lane,
                                const SendOptions& options, uint64_t now, bool ring) noexcept {
  const uint64_t sequence = row_->sequence.load(std::memory_order_relaxed) + 1;  // Relaxed: our own word.
  write_header(*root.header, payload_bytes, lane, now, sequence, options);
  root.header->flags |= layout::kFlagDirect;
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
  if (ring) ring_all();
  row_->sequence.store(sequence, std::memory_order_release);  // R(sequence)
  under_way.store(direct_count + 2, std::memory_order_release);  // R(intent)
  count(sent, payload_bytes, now);
  return sent;
}

bool PublisherCore::wait_for_direct(uint64_t wait_until_ns) noexcept {
  if (direct_.has_room()) return true;
  if (wait_until_ns == 0 || !direct_.may_wait()) return false;
  ring_all();  // They may sleep on what lies in the lane.
  const uint64_t start_ns = agent_->now_ns();
  for (;;) {
    for (int pauses = 0; pauses < 8; ++pauses) base::spin_pause();
    if (direct_.has_much_room()) return true;
    const uint64_t now = agent_->now_ns();
    if (now - start_ns < kSpinForRoomNs) continue;
    if (direct_.has_room()) return true;
    if (now >= wait_until_ns || now - start_ns >= kYieldForRoomNs) break;
    sched_yield();
  }
  direct_.waited_in_vain();
  return false;
}

void PublisherCore::take_back(layout::Reference reference, Sent& sent) noexcept {
  for (std::size_t i = 0; i < receivers_.size(); ++i) {
    // Who lives has it, or sets it aside if its subscription has ended: it may be in its hands by now.
    if (is_live(agent_->map(), receivers_[i].name)) continue;
    // Gone: it was handled, or recovery was faster and answers for it.
    if (memory::release(agent_->map().chunks(), reference, DirectLane::bit(i)) == memory::Release::Gone) continue;
    --sent.receiver_count;
    ++sent.gone_count;
  }
  conclude(sent, receivers_.size());
}

void PublisherCore::give_direct_up() noexcept {
  direct_.close();
  hot_count_ = -kHotSendsAfterRefusal;
}

void PublisherCore::consider_direct(uint32_t class_index, std::size_t lane) noexcept {
  hot_count_ = 0;
  if (direct_.is_open() || agent_->map().chunks().payload_bytes(class_index) > kDirectPayloadBytes) return;
  bool keep_up = true;
  for (Receiver& receiver : receivers_) {
    if (receiver.own_ring) return;
    // Relaxed: a hint. Who takes nothing has moved nothing since we last looked.
    const uint64_t head = receiver.back->head_hint[lane].load(std::memory_order_relaxed);
    keep_up = keep_up && receiver.head_mark != 0 && receiver.head_mark != head;
    receiver.head_mark = head;
  }
  if (!keep_up) return;
  const auto opens = [&] {
    try {
      return direct_.open(receivers_, static_cast<uint32_t>(lane), class_index);
    } catch (const std::bad_alloc&) {
      return false;  // It has not begun.
    }
  };
  if (!ring::heavy_fence() || !opens()) {
    hot_count_ = -kHotSendsAfterRefusal;
    return;
  }
  // A member that died around our offer shows in the epoch, because it was moved before its block was
  // given to anybody else.
  (void)refresh_route();
}

}  // namespace ripstop::detail
