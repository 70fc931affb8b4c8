// Direct lanes: sends against reads, against deaths on either side, and a lane that is closed and opened again.
#include "agent/direct_inbox.h"
#include "agent/direct_lane.h"
#include "proof/explorer/plays.h"
#include "proof/explorer/stage.h"

namespace ripstop::explorer {

namespace {

using fabric::FakeShape;

constexpr uint32_t kRow = 3;

// Agent 1 publishes, the others are members of its lane.
class DirectStage : public Stage {
 public:
  explicit DirectStage(uint32_t member_count) : Stage(FakeShape{1, member_count + 2, {{256, 8, 3}}, {1, 1, 2, 1, 1}, 0, 2}) {
    for (uint32_t agent = 1; agent <= member_count + 1; ++agent) attach(agent);
    for (uint32_t agent = 2; agent <= member_count + 1; ++agent) receivers.push_back(agent);
    lane_ = std::make_shared<detail::DirectLane>(
        fabric.map(), detail::DirectLane::Publisher{1, fabric.incarnation(1), fabric.name(1), kRow, 0});
    epoch_ = fabric.superblock().route_epoch[0].load();
  }
  bool open() {
    members_.clear();
    named_ = 0;
    for (const uint32_t agent : receivers) {
      layout::RouteReceiver entry{};
      entry.agent = agent;
      entry.incarnation = fabric.incarnation(agent);
      entry.agent_incarnation_low = static_cast<uint32_t>(entry.incarnation);
      uint32_t corrupt_count = 0;
      // A route names who lives.
      const auto found = detail::resolve_receivers(fabric.map(), {entry}, corrupt_count);
      if (found.empty()) continue;
      members_.push_back(found.front());
      named_ |= 1u << agent;
    }
    if (members_.empty()) return false;
    return lane_->open(members_, static_cast<uint32_t>(kLane), 0);
  }
  void close() { lane_->close(); }

  // agent/direct_send.cc.
  bool send(uint32_t id) {
    refresh();
    const auto loaned = lane_->loan(0);
    if (!loaned) {
      note(3);
      return false;
    }
    Record& record = records[id];
    record.publisher = 1;
    record.named = named_;
    record.is_begun = true;
    note((uint64_t{5} << 32) | named_);
    layout::ChunkHeader& header = *loaned->header;
    write_payload(header, id);
    layout::PublisherRow& row = fabric.block(1).publishers[kRow];
    const uint64_t sequence = row.sequence.load(std::memory_order_relaxed) + 1;
    header.role = layout::ChunkRole::Root;
    header.link = 0;
    header.root = 0;
    header.sequence = sequence;
    header.source = fabric.name(1);
    header.publisher_row = kRow;
    header.priority = static_cast<uint8_t>(kLane) & 15;
    header.flags = layout::kFlagDirect;
    layout::SenderIntent& intent = fabric.block(1).senders[0];
    intent.direct_root.store(loaned->reference(), std::memory_order_relaxed);
    intent.sequence.store(sequence, std::memory_order_relaxed);
    intent.row.store(kRow, std::memory_order_relaxed);
    const uint64_t count = intent.direct_count.load(std::memory_order_relaxed);
    intent.direct_count.store(count + 1, std::memory_order_release);
    memory::commit(header, lane_->bits());
    lane_->sent();
    uint32_t reached = named_;
    if (fabric.superblock().route_epoch[0].load(std::memory_order_acquire) != epoch_) {
      for (std::size_t i = 0; i < members_.size(); ++i) {
        if (detail::is_live(fabric.map(), members_[i].name)) continue;
        if (memory::release(chunks(), loaned->reference(), detail::DirectLane::bit(i)) == memory::Release::Gone) continue;
        reached &= ~(1u << layout::receiver_agent(members_[i].name));
      }
    }
    for (detail::Receiver& member : members_) {
      if (ring::needs_ring(member.doorbell->load(std::memory_order_relaxed), member.last_rung)) {
        ring::ring_doorbell(*member.doorbell, member.last_rung);
      }
    }
    row.sequence.store(sequence, std::memory_order_release);
    intent.direct_count.store(count + 2, std::memory_order_release);
    record.reached = reached;
    record.has_returned = true;
    note((uint64_t{6} << 32) | reached);
    return true;
  }
  // A changed route ends the lane: PublisherCore::resolve_route().
  void refresh() {
    const uint64_t epoch = fabric.superblock().route_epoch[0].load(std::memory_order_acquire);
    if (epoch == epoch_) return;
    epoch_ = epoch;
    lane_->close();
    (void)open();
  }
  void publish(std::vector<uint32_t> ids, bool is_mortal) {
    add("publisher", 1, is_mortal, [this, ids] {
      for (const uint32_t id : ids) (void)send(id);
    });
  }
  void take(uint32_t agent, uint32_t count, bool is_mortal, bool sleeps = false) {
    auto inbox = std::make_shared<detail::DirectInbox>(chunks(), fabric.block(agent));
    add("member " + std::to_string(agent), agent, is_mortal, [this, inbox, agent, count, sleeps] {
      ring::Sleeper sleeper(fabric.block(agent).front.doorbell);
      for (uint32_t taken = 0; taken < count;) {
        const uint64_t seen = changes();
        if (take_one(*inbox, agent)) {
          ++taken;
          continue;
        }
        if (!sleeps) {
          await_change(seen);
          continue;
        }
        sleeper.arm();
        (void)ring::heavy_fence();
        const bool found = take_one(*inbox, agent);
        if (!found) sleeper.wait(0);
        sleeper.disarm();
        taken += found ? 1 : 0;
      }
    });
  }

 protected:
  bool take_one(detail::DirectInbox& inbox, uint32_t agent) {
    uint32_t offender = 0;
    if (inbox.changed()) (void)inbox.refresh(offender);
    detail::DirectSource::Found found;
    detail::DirectSource* source = inbox.find(kLane, found);
    if (source == nullptr) return false;
    const layout::Reference reference = layout::make_reference(source->chunk_number(), found.generation);
    const uint32_t id = read_payload(*found.header);
    const uint32_t bit = source->bit();
    source->taken(found);
    took(agent, id);
    if (read_payload(*found.header) != id) took(agent, 0);
    if (memory::release_seen(chunks(), reference, found.generation, bit) == memory::Release::Gone) took(agent, 0);
    released(agent, id);
    source->released(layout::chunk_index(layout::reference_chunk(reference)));
    if (source->has_ended()) (void)inbox.refresh(offender);
    return true;
  }
  bool may_sleep(uint32_t agent) override { return !has_mail(agent); }
  bool has_mail(uint32_t agent) {
    bool any = false;
    for_each_left(agent, [&](layout::Reference, uint32_t) { any = true; });
    return any;
  }
  // What is left for a member, in order of its chunks.
  template <class Visit>
  void for_each_left(uint32_t agent, Visit visit) {
    for (const base::AtomicPair& place : fabric.block(agent).direct) {
      const control::DirectEntry entry = control::read_direct(place);
      if (entry.word.state == layout::DirectState::Free) continue;
      (void)control::for_each_direct(chunks(), entry, [&](layout::ChunkId chunk, const control::DirectCopy& copy) {
        if (control::has_bit(copy, entry.word.bit)) visit(layout::make_reference(chunk, copy.holders.generation), entry.word.bit);
      });
    }
  }
  void drain_further(uint32_t agent) override {
    for_each_left(agent, [&](layout::Reference reference, uint32_t bit) {
      took(agent, read_payload(*chunks().find(layout::reference_chunk(reference))));
      (void)memory::release(chunks(), reference, bit);
    });
  }
  Finding look_further() override {
    if (!is_dead(1)) return {};
    // Who attaches again learns its last sequence.
    const uint64_t sequence = fabric.block(1).publishers[kRow].sequence.load();
    for (uint32_t id = 1; id < kMessagesMax; ++id) {
      if (records[id].has_returned && sequence < id) return {Harm::Wrong, "the publisher's last sequence is forgotten"};
    }
    return {};
  }

  std::shared_ptr<detail::DirectLane> lane_;
  std::vector<detail::Receiver> members_;
  uint32_t named_ = 0;
  uint64_t epoch_ = 0;
};

std::unique_ptr<Scene> direct() {
  auto stage = std::make_unique<DirectStage>(1);
  (void)stage->open();
  stage->publish({1, 2}, true);
  stage->take(2, 2, true);
  return stage;
}

std::unique_ptr<Scene> direct_two() {
  auto stage = std::make_unique<DirectStage>(2);
  (void)stage->open();
  stage->publish({1}, true);
  stage->take(2, 1, true);
  stage->take(3, 1, false);
  return stage;
}

std::unique_ptr<Scene> direct_again() {
  auto stage = std::make_unique<DirectStage>(1);
  (void)stage->open();
  DirectStage* const self = stage.get();
  stage->add("publisher", 1, true, [self] {
    (void)self->send(1);
    self->close();
    if (self->open()) (void)self->send(2);
  });
  stage->take(2, 2, true);
  return stage;
}

std::unique_ptr<Scene> direct_sleep() {
  auto stage = std::make_unique<DirectStage>(1);
  (void)stage->open();
  stage->publish({1, 2}, true);
  stage->take(2, 2, false, true);
  return stage;
}

}  // namespace

void add_direct_plays(std::vector<Play>& plays) {
  const std::vector<Bounds> usual = {{2, 0}, {1, 1}, {1, 1, 1}};
  const std::vector<Bounds> all = {{2, 1}, {1, 2}, {2, 0, 2}, {1, 1, 1}};
  plays.push_back({"direct", "two messages through a direct lane", {{2, 1}, {1, 1, 1}}, {{3, 1}, {2, 2}, {2, 1, 1}}, direct});
  plays.push_back({"direct-two", "a direct lane with two members", usual, all, direct_two});
  plays.push_back({"direct-again", "a lane is closed, and another one opened", usual, all, direct_again});
  plays.push_back({"direct-sleep", "a member that sleeps", {{3, 1}, {2, 0, 2}, {1, 1, 1}}, {{3, 1}, {2, 2}, {3, 0, 2}, {2, 1, 1}}, direct_sleep});
}

}  // namespace ripstop::explorer
