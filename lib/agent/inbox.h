// An agent's receiving side: its five lanes, the rings of its own, and what it has in hand.
//
// Thread: the agent's receiving thread, but for what says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "agent/direct_inbox.h"
#include "agent/pattern_owners.h"
#include "agent/source.h"
#include "agent/waiting.h"
#include "base/clock.h"
#include "control/fabric_map.h"
#include "layout/agent_block.h"
#include "ring/doorbell.h"
#include "ripstop/subscriber.h"
#include "ripstop/types.h"

namespace ripstop::detail {

class AgentCore;
class SubscriberCore;

// A delivery that was taken and not released.
struct InHand {
  layout::ChunkHeader* header = nullptr;  // Of the chunk that the slot names: the root, or a branch of it.
  uint64_t reference = 0;    // Its name.
  uint64_t generation = 0;   // That chunk's, all bits of it.
  uint32_t bit = 0;
  uint32_t attempt = 0;
  Source* source = nullptr;  // Null: its ring is gone, only the bit is left.
  uint64_t position = 0;
  ring::SlotView slot{0, 0};
  bool held = false;  // In the held table, not in its slot.
  DirectSource* direct = nullptr;  // It came through this direct lane; then `source` is null.
};

// What a message is made of.
struct Delivered {
  InHand* in_hand = nullptr;
  const std::byte* data = nullptr;
  uint32_t payload_bytes = 0;
};

class Inbox {
 public:
  Inbox(AgentCore& agent, const control::FabricMap& map, layout::AgentBlock& block, uint64_t incarnation, Wait wait,
        const base::TscScale& clock);

  // The next message: pending ones first, then lanes by priority, then rings of their own.
  // `only`: that subscription's; messages for others wait with them.
  Take<Message<Bytes>> take(SubscriberCore* only);
  Take<Message<Bytes>> take(SubscriberCore* only, uint64_t timeout_ns);
  ReleaseOutcome release(InHand& in_hand) noexcept;

  void add(SubscriberCore& subscriber);
  // Before the supervisor ends the subscription and releases what lies in its ring: what waits for it is
  // released, and what the user has in hand of the ring goes to the held table as far as that has room.
  // Afterwards we write to no slot of the ring, which may be another's by then.
  void withdraw(SubscriberCore& subscriber) noexcept;
  void remove(SubscriberCore& subscriber);
  // Null when the directory names no such ring.
  Source* add_ring(uint32_t ring_id, bool shared);

  std::size_t in_hand_count() const noexcept { return in_hand_pool_.size() - in_hand_free_.size(); }
  MessageInfo info(const InHand& in_hand, const std::byte* data) const noexcept;
  // Walks the further segments behind `data`; false when the chain is damaged.
  bool segments(const std::byte* data, std::vector<std::span<const std::byte>>& segments) const;

  AgentCore& agent() const noexcept { return agent_; }
  std::atomic<uint32_t>& doorbell() const noexcept { return block_.front.doorbell; }
  // Whether a message waits that was taken for another subscription.
  bool has_pending() const noexcept { return pending_count_ != 0; }
  // Whether something lies in a ring. Thread: any.
  bool has_mail() const noexcept;
  // A sleeper's, between arming the bell and the last look: a direct lane's publisher passes no fence
  // between its commit and its look at the bell. Returns how long one may sleep before the next look;
  // 0: for ever. Thread: any.
  uint64_t fence_for_sleep() const noexcept;
  // From now on the doorbell belongs to fd()'s thread, and we sleep on its descriptor.
  void use_descriptor(int event_fd) noexcept { event_fd_ = event_fd; }

 private:
  TakeOutcome take(SubscriberCore* only, Delivered& delivered);
  TakeOutcome take_pending(SubscriberCore* only, Delivered& delivered) noexcept;
  // Keeps it for its subscription. False: there is no memory for that, and it is the unfiled one.
  bool file(SubscriberCore& subscriber, const Delivered& delivered) noexcept;
  TakeOutcome take_lanes(Delivered& delivered);
  bool rings_are_empty() const noexcept;
  TakeOutcome take_quickly(SubscriberCore* only, Delivered& delivered, bool& sure);
  void found_one() noexcept;
  void found_nothing() noexcept;
  // A lane and the direct lanes of its priority.
  TakeOutcome take_lane(std::size_t lane, Delivered& delivered);
  DirectSource* find_earlier(std::size_t lane, layout::Reference first, DirectSource::Found& found) noexcept;
  layout::ChunkHeader* find_root(layout::Reference reference, layout::ChunkId& chunk) const noexcept;
  TakeOutcome open_direct(DirectSource& direct, const DirectSource::Found& found, Delivered& delivered);
  void refresh_direct() noexcept;
  TakeOutcome take_rings(Delivered& delivered);
  TakeOutcome take_from(Source& source, Delivered& delivered);
  // One look at the source; `finished`: the slot held nothing any more, look again.
  TakeOutcome take_slot(Source& source, Delivered& delivered, bool& finished);
  TakeOutcome open(Source& source, uint64_t position, const ring::SlotView& slot, Delivered& delivered);
  void leave_place(InHand& in_hand) noexcept;
  void prefetch_behind(const Source& source) const noexcept;
  void let_go(layout::Reference reference, uint32_t bit) noexcept;
  void set_aside(Source& source, uint64_t position, const ring::SlotView& slot) noexcept;
  TakeOutcome set_aside_corrupt(Source& source, uint64_t position, const ring::SlotView& slot, uint32_t offender) noexcept;
  uint32_t owner_of(layout::ChunkId chunk) const noexcept;
  void count_corrupt(uint32_t offender) noexcept;
  bool make_way(Source& source) noexcept;
  void remove_ring(Source& source);
  SubscriberCore* subscriber_of(uint32_t topic_id, const Source* source) noexcept;
  // Makes sure, before anything is taken, that there is a place for it.
  bool can_hold_more() noexcept { return !in_hand_free_.empty() || grow_in_hand(); }
  bool grow_in_hand() noexcept;
  InHand& new_in_hand() noexcept {
    InHand& in_hand = *in_hand_free_.back();
    in_hand_free_.pop_back();
    return in_hand;
  }
  TakeOutcome sleep(SubscriberCore* only, uint64_t timeout_ns, Delivered& delivered);
  void count_take(SubscriberCore& subscriber, const layout::ChunkHeader& header) noexcept;
  bool reads_clock(uint64_t sent_ns) noexcept;
  // A receiver that found something so many times in a row is behind: what it takes next is there already.
  static constexpr uint32_t kBusyRun = 3;
  static constexpr uint64_t kSameMomentNs = 2000;
  static constexpr uint32_t kUnsampledMax = 16;

  AgentCore& agent_;
  const control::FabricMap& map_;
  layout::AgentBlock& block_;
  base::TscScale clock_;
  Waiting waiting_;
  ring::Sleeper sleeper_;
  int event_fd_ = -1;
  std::vector<Source> lanes_;  // Critical first. Never grows: messages point into it.
  mutable std::mutex rings_mutex_;  // fd()'s thread reads rings_ too; the receiving thread writes it.
  std::vector<std::unique_ptr<Source>> rings_;
  std::size_t next_ring_ = 0;
  DirectInbox direct_;  // Opened and closed under rings_mutex_ too.
  uint32_t direct_run_ = 0;  // Direct messages taken in a row.
  uint32_t quick_run_ = 0;   // Takes in a row that had to look a few times at most.
  uint32_t empty_run_ = 0;   // Looks in a row that found nothing.
  uint64_t last_take_ns_ = 0;      // The clock's last reading at a take.
  uint32_t unsampled_count_ = 0;   // Takes since.
  uint32_t busy_run_ = 0;    // Takes in a row that found something: more is likely to be there.
  std::vector<SubscriberCore*> subscribers_;
  // Taken for a subscription that had no memory to keep it.
  Delivered unfiled_;
  std::size_t pending_count_ = 0;  // Over all subscribers, and the unfiled one.
  std::vector<std::unique_ptr<InHand>> in_hand_pool_;
  std::vector<InHand*> in_hand_free_;
  PatternOwners patterns_;
};

}  // namespace ripstop::detail
