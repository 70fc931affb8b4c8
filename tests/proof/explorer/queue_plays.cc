// Rings of their own: where publishers may drop the oldest message, where a taker's messages are moved into its
// held table under its hands, where a subscription ends, and where several take from one.
#include "proof/explorer/plays.h"
#include "proof/explorer/stage.h"
#include "ripstop/types.h"

namespace ripstop::explorer {

namespace {

using fabric::FakeShape;

constexpr uint32_t kRing = 1;
constexpr uint32_t kSlots = 2;

// Publishers are agents 1.., the ring's owner comes behind them.
class QueueStage : public Stage {
 public:
  explicit QueueStage(uint32_t publisher_count, Overflow overflow)
      : Stage(FakeShape{1, publisher_count + 3, {{256, 4, publisher_count + 1}}, {1, 1, 1, 1, 1}, 1, kSlots}),
        owner(publisher_count + 1) {
    for (uint32_t agent = 1; agent <= owner; ++agent) attach(agent);
    fabric.ring_entry(kRing).overflow = static_cast<uint8_t>(overflow);
    fabric.open_queue(kRing, owner);
    receivers = {owner};
    queue = kRing;
    ways_.drops_oldest = overflow == Overflow::DropOldest;
    drops = ways_.drops_oldest;
    may_fill = true;
  }
  void publish(uint32_t agent, std::vector<uint32_t> ids, bool is_mortal = true) {
    auto publisher = std::make_shared<Publisher>(*this, agent, receivers, ways_);
    add("publisher " + std::to_string(agent), agent, is_mortal, [publisher, ids] {
      for (const uint32_t id : ids) (void)publisher->send(id);
    });
  }
  void send_before(uint32_t publisher, std::vector<uint32_t> ids) {
    Publisher before(*this, publisher, receivers, ways_);
    for (const uint32_t id : ids) (void)before.send(id);
  }

  const uint32_t owner;

 protected:
  Publisher::Ways ways_;
};

std::unique_ptr<Scene> evict() {
  auto stage = std::make_unique<QueueStage>(1, Overflow::DropOldest);
  stage->send_before(1, {1, 2});
  stage->publish(1, {3});
  auto taker = std::make_shared<Taker>(*stage, stage->owner, kRing, true);
  stage->add("taker", stage->owner, true, [taker] { taker->take_and_release(1); });
  return stage;
}

std::unique_ptr<Scene> two_evict() {
  auto stage = std::make_unique<QueueStage>(2, Overflow::DropOldest);
  stage->send_before(1, {1, 2});
  stage->publish(1, {3});
  stage->publish(2, {4});
  return stage;
}

// What is in the taker's hands is in the way: into its held table, while it lets it go.
class HeldStage : public QueueStage {
 public:
  HeldStage() : QueueStage(1, Overflow::DropOldest) {
    send_before(1, {1});
    auto taker = std::make_shared<Taker>(*this, owner, kRing, true);
    (void)taker->take();
    publish(1, {2, 3});
    add("taker", owner, true, [taker] {
      taker->release();
      taker->take_and_release(1);
    });
  }

 protected:
  // What its taker has in its hands is not dropped, and nothing else can be where there is room for all.
  Finding look_further() override {
    if (is_dead(owner)) return {};
    if (records[1].released[owner] || records[1].taken[owner] == 1) return {};
    return {Harm::Lost, "what was in the taker's hands is gone"};
  }
};
std::unique_ptr<Scene> held() { return std::make_unique<HeldStage>(); }

// Two publishers meet the same TAKEN slot.
std::unique_ptr<Scene> two_hold() {
  auto stage = std::make_unique<QueueStage>(2, Overflow::DropOldest);
  stage->send_before(1, {1, 2});
  auto taker = std::make_shared<Taker>(*stage, stage->owner, kRing, true);
  (void)taker->take();
  stage->publish(1, {3});
  stage->publish(2, {4});
  stage->add("taker", stage->owner, false, [taker] { taker->release(); });
  return stage;
}

// A subscription ends: the supervisor closes its ring, while somebody pushes and the taker has one in its hands.
class EndStage : public QueueStage {
 public:
  explicit EndStage(Overflow overflow) : QueueStage(1, overflow) {
    send_before(1, {1, 2});
    auto taker = std::make_shared<Taker>(*this, owner, kRing, overflow == Overflow::DropOldest);
    (void)taker->take();
    publish(1, {3});
    add("taker", owner, false, [taker, this] {
      taker->release();
    });
    add("the supervisor", kSupervisor, false, [this] {
      (void)fabric.settlement().close_queue(kRing, owner);
      std::atomic<uint64_t>& word = fabric.ring_entry(kRing).word;
      word.store(word.load() & ~uint64_t{3});
    });
  }

 protected:
  static constexpr uint32_t kSupervisor = 7;
  // Whatever was published to it is released, one way or the other.
  Finding look_further() override {
    const auto place = fabric.map().queue(kRing);
    for (uint64_t i = 0; i < place->ring.slot_count(); ++i) {
      if (layout::word_phase(place->ring.read(i).state) == layout::Phase::Closed) return {};
    }
    return {Harm::Blocked, "the ring is not closed"};
  }
};
std::unique_ptr<Scene> subscription_ends() {
  auto stage = std::make_unique<EndStage>(Overflow::DropOldest);
  return stage;
}

// Several take from one ring, which no inbox does yet: the ring's own protocol.
class SharedStage : public QueueStage {
 public:
  SharedStage() : QueueStage(1, Overflow::Block) {
    shares = true;
    is_ordered = false;
    attach(3);
    receivers = {2, 3};
    auto publisher = std::make_shared<Publisher>(*this, 1, std::vector<uint32_t>{owner}, ways_);
    send_before_to(1);
    add("publisher", 1, true, [publisher] { (void)publisher->send(2); });
    for (const uint32_t agent : receivers) {
      add("taker " + std::to_string(agent), agent, false, [this, agent] { take_one(agent); });
    }
  }

 private:
  void send_before_to(uint32_t id) { Publisher(*this, 1, {owner}, ways_).send(id); }
  void take_one(uint32_t agent) {
    const auto place = fabric.map().queue(kRing);
    ring::MpmcRing ring = place->ring;
    for (uint64_t head = 0; head < 2;) {
      const uint64_t seen = changes();
      ring::SlotView view = ring.read(head);
      const int64_t ahead = layout::turn_distance(layout::word_turn(view.state), ring.turn(head));
      if (ahead > 0 || (ahead == 0 && layout::word_phase(view.state) == layout::Phase::Taken)) {
        ++head;
        continue;
      }
      if (layout::word_phase(view.state) != layout::Phase::Full) {
        await_change(seen);
        continue;
      }
      if (!ring.take(head, view, agent)) continue;
      const uint32_t id = read_payload(*chunks().find(layout::reference_chunk(view.low)));
      took(agent, id);
      (void)memory::release(chunks(), view.low, layout::unpack(view.state).bit);
      (void)ring.finish(head, view, place->incarnation);
      return;
    }
  }
};
std::unique_ptr<Scene> shared_queue() { return std::make_unique<SharedStage>(); }

}  // namespace

void add_queue_plays(std::vector<Play>& plays) {
  const std::vector<Bounds> usual = {{3, 1}};
  const std::vector<Bounds> wide = {{2, 1}};
  const std::vector<Bounds> all = {{3, 1}, {2, 2}};
  plays.push_back({"evict", "the oldest is dropped while it is taken", usual, all, evict});
  plays.push_back({"two-evict", "two publishers drop the oldest", wide, {{3, 1}, {1, 2}}, two_evict});
  plays.push_back({"held", "a message is moved into the held table while its taker lets it go", usual, all, held});
  plays.push_back({"two-hold", "two publishers move it", wide, {{3, 1}, {1, 2}}, two_hold});
  plays.push_back({"ends", "a subscription ends under a push and under its taker's hands", {{2, 0}, {1, 1}}, {{2, 1}}, subscription_ends});
  plays.push_back({"shared-queue", "two take from one ring", usual, all, shared_queue});
}

}  // namespace ripstop::explorer
