// A publisher's direct lane: when it opens one, waiting for room in it, and what it takes back when a
// receiver ends around a send.
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
