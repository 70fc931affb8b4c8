// Messages through the lanes of inboxes: publishers, takers, their deaths, and a successor.
#include "proof/explorer/plays.h"
#include "proof/explorer/stage.h"

namespace ripstop::explorer {

namespace {

using fabric::FakeShape;

// Agents 1.. publish, receivers behind them. Lanes of two slots: everything wraps.
FakeShape small(uint32_t publishers, uint32_t agents) { return {1, agents + 1, {{256, 2, publishers + 1}}, {1, 1, 2, 1, 1}, 0, 2}; }

class LaneStage : public Stage {
 public:
  LaneStage(uint32_t publisher_count, uint32_t receiver_count) : Stage(small(publisher_count, publisher_count + receiver_count)) {
    for (uint32_t agent = 1; agent <= publisher_count + receiver_count; ++agent) attach(agent);
    for (uint32_t i = 0; i < receiver_count; ++i) receivers.push_back(publisher_count + 1 + i);
  }
  void publish(uint32_t agent, std::vector<uint32_t> ids, Publisher::Ways ways = {}, bool is_mortal = true) {
    auto publisher = std::make_shared<Publisher>(*this, agent, receivers, ways);
    add("publisher " + std::to_string(agent), agent, is_mortal, [publisher, ids] {
      for (const uint32_t id : ids) (void)publisher->send(id);
    });
  }
  void take(uint32_t agent, uint32_t count, bool is_mortal = true) {
    auto taker = std::make_shared<Taker>(*this, agent, 0, false);
    add("taker " + std::to_string(agent), agent, is_mortal, [taker, count] { taker->take_and_release(count); });
  }
  // Before the scene begins: what lies there.
  void send_before(uint32_t id, std::vector<uint32_t> to, Publisher::Ways ways = {}) {
    Publisher(*this, 1, std::move(to), ways).send(id);
  }
};

std::unique_ptr<Scene> one_to_one() {
  auto stage = std::make_unique<LaneStage>(1, 1);
  stage->publish(1, {1, 2});
  stage->take(2, 2);
  return stage;
}

std::unique_ptr<Scene> wrapping() {
  auto stage = std::make_unique<LaneStage>(1, 1);
  stage->may_fill = true;
  stage->send_before(1, {2});
  stage->publish(1, {2, 3});
  stage->take(2, 2);
  return stage;
}

std::unique_ptr<Scene> fan_out() {
  auto stage = std::make_unique<LaneStage>(1, 2);
  stage->publish(1, {1});
  stage->take(2, 1, false);
  stage->take(3, 1, false);
  return stage;
}

std::unique_ptr<Scene> two_publishers() {
  auto stage = std::make_unique<LaneStage>(2, 1);
  stage->publish(1, {1});
  stage->publish(2, {2});
  stage->take(3, 1, false);
  return stage;
}

std::unique_ptr<Scene> two_publishers_one_slot() {
  auto stage = std::make_unique<LaneStage>(2, 1);
  stage->may_fill = true;
  stage->send_before(1, {3});
  stage->publish(1, {2}, {}, false);
  stage->publish(2, {3}, {}, true);
  stage->take(3, 1, false);
  return stage;
}

// The receiver's place is given to a successor, while a publisher has the route of before.
class SuccessorStage : public LaneStage {
 public:
  explicit SuccessorStage(uint32_t publisher_count) : LaneStage(publisher_count, 1) { may_fill = true; }

 protected:
  void after_settling(uint32_t agent) override {
    if (agent != receivers.front()) return;
    // As FakeFabric::attach(), which may be killed here.
    const uint64_t incarnation = fabric.incarnation(agent) + 50;
    fabric.settlement().open_inbox(agent, incarnation);
    fabric.entry(agent).word.store(layout::make_agent_word(incarnation, layout::AgentState::Live));
    note(1);
    has_successor_ = true;
  }
  // What lies in the successor's lane was sent to the dead.
  Finding look_further() override {
    if (!has_successor_) return {};
    const ring::MpmcRing lane = fabric.lane(receivers.front(), kLane);
    for (uint64_t i = 0; i < lane.slot_count(); ++i) {
      if (layout::word_phase(lane.read(i).state) != layout::Phase::Empty) {
        return {Harm::Wrong, "a message for the dead lies in the lane of its successor"};
      }
      if (lane.read(i).low != fabric.incarnation(receivers.front())) {
        return {Harm::Wrong, "a slot of the successor's lane bears another incarnation"};
      }
    }
    return {};
  }

 private:
  bool has_successor_ = false;
};

class StaleStage : public SuccessorStage {
 public:
  StaleStage() : SuccessorStage(1) {
    auto publisher = std::make_shared<Publisher>(*this, 1, receivers, Publisher::Ways{});
    add("publisher 1", 1, false, [publisher] { (void)publisher->send(1); });
    add("receiver 2", 2, true, [] {});
  }
};

class StaleFullStage : public SuccessorStage {
 public:
  StaleFullStage() : SuccessorStage(1) {
    send_before(1, receivers);
    auto publisher = std::make_shared<Publisher>(*this, 1, receivers, Publisher::Ways{});
    add("publisher 1", 1, false, [publisher] {
      (void)publisher->send(2);
      (void)publisher->send(3);
    });
    take(2, 1);
  }
};

std::unique_ptr<Scene> stale_route() { return std::make_unique<StaleStage>(); }
std::unique_ptr<Scene> stale_route_full() { return std::make_unique<StaleFullStage>(); }

// A fan-out of which one receiver dies as well.
std::unique_ptr<Scene> two_deaths() {
  auto stage = std::make_unique<LaneStage>(1, 2);
  stage->publish(1, {1});
  stage->take(2, 1, true);
  stage->take(3, 1, false);
  return stage;
}

// A receiver that dies with a message in its hands and one in its lane.
class InHandStage : public LaneStage {
 public:
  InHandStage() : LaneStage(1, 2) {
    send_before(1, receivers);
    auto taker = std::make_shared<Taker>(*this, 2, 0, false);
    (void)taker->take();
    add("taker 2", 2, true, [taker] {
      taker->release();
      taker->take_and_release(1);
    });
    publish(1, {2}, {}, true);
    take(3, 2, false);
  }
};

// A taker that looks for more while it has one in its hands: a second sighting would be taken for another message.
std::unique_ptr<Scene> look_ahead() {
  auto stage = std::make_unique<LaneStage>(1, 1);
  stage->publish(1, {1});
  auto taker = std::make_shared<Taker>(*stage, 2, 0, false);
  stage->add("taker 2", 2, false, [taker] {
    for (;;) {
      const uint64_t seen = changes();
      if (taker->take() != 0) break;
      await_change(seen);
    }
    if (taker->take() != 0) taker->release();
    taker->release();
  });
  return stage;
}

std::unique_ptr<Scene> in_hand() { return std::make_unique<InHandStage>(); }

}  // namespace

void add_lane_plays(std::vector<Play>& plays) {
  const std::vector<Bounds> usual = {{3, 1}};
  const std::vector<Bounds> wide = {{2, 1}};
  const std::vector<Bounds> all = {{3, 1}, {2, 2}};
  plays.push_back({"one-to-one", "two messages through a lane of two slots", {{3, 1}, {1, 2}}, all, one_to_one});
  plays.push_back({"wrapping", "a lane that is full and wraps", usual, all, wrapping});
  plays.push_back({"fan-out", "one message to two receivers", usual, all, fan_out});
  plays.push_back({"two-publishers", "two publishers push into one lane", wide, {{3, 1}, {1, 2}}, two_publishers});
  plays.push_back({"last-slot", "two publishers and one free slot", wide, {{3, 1}, {1, 2}}, two_publishers_one_slot});
  plays.push_back({"stale-route", "a push with the route of before meets close, settlement and a successor", usual, all, stale_route});
  plays.push_back({"stale-full", "the same with a full lane and a taker", usual, all, stale_route_full});
  plays.push_back({"two-deaths", "a fan-out; the publisher and a receiver die", {{2, 1}, {1, 2}}, all, two_deaths});
  plays.push_back({"look-ahead", "a receiver looks for more with a message in its hands", usual, all, look_ahead});
  plays.push_back({"in-hand", "a receiver dies with a message in its hands", {{1, 1}}, {{2, 1}, {1, 2}}, in_hand});
}

}  // namespace ripstop::explorer
