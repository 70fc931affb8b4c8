// Who sleeps, and who must wake: a receiver at its doorbell, a publisher that waits for room, both ends of a
// channel. Nobody's time is ever over here: a wake that is lost is somebody who sleeps though there is
// something to do. Stores may linger: the protocols rest on who brings the fence.
#include "proof/explorer/plays.h"
#include "proof/explorer/stage.h"
#include "ring/spsc_channel.h"

namespace ripstop::explorer {

namespace {

using fabric::FakeShape;

class WakeStage : public Stage {
 public:
  WakeStage(uint32_t publishers, uint32_t slots)
      : Stage(FakeShape{1, publishers + 2, {{256, 2, publishers + 1}}, {1, 1, slots, 1, 1}, 0, 2}), receiver(publishers + 1) {
    for (uint32_t agent = 1; agent <= receiver; ++agent) attach(agent);
    receivers = {receiver};
  }
  void publish(uint32_t agent, std::vector<uint32_t> ids, Publisher::Ways ways, bool is_mortal = true) {
    auto publisher = std::make_shared<Publisher>(*this, agent, receivers, ways);
    add("publisher " + std::to_string(agent), agent, is_mortal, [publisher, ids] {
      for (const uint32_t id : ids) (void)publisher->send(id);
    });
  }
  const uint32_t receiver;

 protected:
  bool may_sleep(uint32_t agent) override {
    if (agent == receiver) return Stage::may_sleep(agent);
    // A publisher: while there is no room.
    return fabric.lane(receiver, kLane).find_tail(fabric.incarnation(receiver)).outcome == ring::Push::Full;
  }
};

std::unique_ptr<Scene> doorbell() {
  auto stage = std::make_unique<WakeStage>(1, 2);
  Publisher::Ways ways;
  ways.rings = true;
  stage->publish(1, {1, 2}, ways);
  auto taker = std::make_shared<Taker>(*stage, stage->receiver, 0, false);
  stage->add("sleeper", stage->receiver, false, [taker] { taker->sleep_and_take(2); });
  return stage;
}

std::unique_ptr<Scene> two_ring() {
  auto stage = std::make_unique<WakeStage>(2, 2);
  Publisher::Ways ways;
  ways.rings = true;
  stage->publish(1, {1}, ways);
  stage->publish(2, {2}, ways);
  auto taker = std::make_shared<Taker>(*stage, stage->receiver, 0, false);
  stage->add("sleeper", stage->receiver, false, [taker] { taker->sleep_and_take(2); });
  return stage;
}

std::unique_ptr<Scene> room() {
  auto stage = std::make_unique<WakeStage>(1, 1);
  stage->may_fill = true;
  Publisher::Ways ways;
  ways.blocks = true;
  Publisher(*stage, 1, stage->receivers, ways).send(1);
  stage->publish(1, {2}, ways);
  auto taker = std::make_shared<Taker>(*stage, stage->receiver, 0, false);
  stage->add("taker", stage->receiver, true, [taker] { taker->take_and_release(1); });
  return stage;
}

std::unique_ptr<Scene> two_wait() {
  auto stage = std::make_unique<WakeStage>(2, 1);
  stage->may_fill = true;
  Publisher::Ways ways;
  ways.blocks = true;
  Publisher(*stage, 1, stage->receivers, ways).send(1);
  stage->publish(1, {2}, ways, false);
  stage->publish(2, {3}, ways, true);
  auto taker = std::make_shared<Taker>(*stage, stage->receiver, 0, false);
  stage->add("taker", stage->receiver, false, [taker] { taker->take_and_release(2); });
  return stage;
}

// A channel (agent/channel_core.cc) of one or two slots, whose ends sleep.
class ChannelStage : public Stage {
 public:
  static constexpr uint32_t kSlotBytes = 64;

  ChannelStage(uint32_t slot_count, uint32_t count)
      : Stage(FakeShape{1, 3, {{256, 1, 1}}, {1, 1, 1, 1, 1}, 1, 32}), slot_count_(slot_count), count_(count) {
    attach(1);
    attach(2);
    // In the arena's first place, which no ring has.
    std::byte* place = fabric.node_bytes(0).data() + fabric.superblock().nodes[0].ring_arena_offset;
    header_ = reinterpret_cast<layout::ChannelHeader*>(place);
    slots_ = place + sizeof(layout::ChannelHeader);
    add("sender", 1, true, [this] { send(); });
    add("receiver", 2, true, [this] { receive(); });
  }

 protected:
  // As Registry::leave_channel().
  void settle_further(uint32_t) override {
    for (std::atomic<uint32_t>* bell : {&header_->doorbell, &header_->space_bell}) {
      uint32_t last_rung = 0;
      ring::ring_doorbell(*bell, last_rung);
    }
  }
  bool may_sleep(uint32_t agent) override {
    ring::SpscChannel end = channel();
    if (agent == 1) return end.open_producer() && !end.has_room();
    return end.open_consumer() && !end.has_message();
  }
  // The next ends go on where these ended: nothing is lost, and what comes again was not given back.
  Finding look_further() override {
    ring::SpscChannel end = channel();
    if (!end.open_consumer()) return {Harm::Wrong, "the indices contradict one another to the next receiver"};
    uint32_t next = popped_;
    bool is_first = true;
    while (end.has_message()) {
      const uint32_t id = read(end.front_payload());
      // One that it was giving back when it died may be gone.
      if (is_first && id == popped_ + 2) next = popped_ + 1;
      is_first = false;
      if (id != ++next) return {Harm::Lost, "the next receiver finds message " + std::to_string(id) + " in the place of " + std::to_string(next)};
      end.pop();
    }
    if (next < sent_ && !(is_first && taken_ == sent_ && popped_ + 1 >= sent_)) {
      return {Harm::Lost, std::to_string(sent_) + " messages were sent, " + std::to_string(next) + " came"};
    }
    if (next > sent_ + 1 || taken_ > sent_ + 1) return {Harm::Wrong, "more came than was sent"};
    ring::SpscChannel producer = channel();
    if (!producer.open_producer()) return {Harm::Wrong, "the indices contradict one another to the next sender"};
    for (uint32_t i = 0; i < slot_count_; ++i) {
      if (!producer.has_room()) return {Harm::Blocked, "the channel does not take what it has room for"};
      producer.push(8, 0);
    }
    if (producer.has_room()) return {Harm::Wrong, "the channel takes more than it has room for"};
    return {};
  }

 private:
  ring::SpscChannel channel() { return {*header_, slots_, slot_count_, kSlotBytes}; }
  static uint32_t read(const std::byte* payload) { return static_cast<uint32_t>(*reinterpret_cast<const uint64_t*>(payload)); }

  template <class Look>
  static void sleep_unless(std::atomic<uint32_t>& bell, Look look) {
    ring::Sleeper sleeper(bell);
    sleeper.arm();
    (void)ring::heavy_fence();
    if (!look()) sleeper.wait(0);
    sleeper.disarm();
  }
  static void ring(std::atomic<uint32_t>& bell, uint32_t& last_rung) {
    if (ring::needs_ring(bell.load(std::memory_order_relaxed), last_rung)) ring::ring_doorbell(bell, last_rung);
  }
  void send() {
    ring::SpscChannel end = channel();
    (void)end.open_producer();
    uint32_t last_rung = 0;
    for (uint32_t id = 1; id <= count_; ++id) {
      while (!end.has_room()) sleep_unless(header_->space_bell, [&] { return end.has_room(); });
      *reinterpret_cast<uint64_t*>(end.next_payload()) = id;
      end.push(8, 0);
      ring(header_->doorbell, last_rung);
      sent_ = id;
      note(id);
    }
  }
  void receive() {
    ring::SpscChannel end = channel();
    (void)end.open_consumer();
    uint32_t last_rung = 0;
    for (uint32_t id = 1; id <= count_; ++id) {
      while (!end.has_message()) sleep_unless(header_->doorbell, [&] { return end.has_message(); });
      if (read(end.front_payload()) != id || end.front().payload_bytes != 8) records[0].is_torn = true;
      taken_ = id;
      note(read(end.front_payload()) * 2 + (records[0].is_torn ? 1 : 0));
      end.pop();
      popped_ = id;
      note(id);
      ring(header_->space_bell, last_rung);
    }
  }

  const uint32_t slot_count_;
  const uint32_t count_;
  layout::ChannelHeader* header_ = nullptr;
  std::byte* slots_ = nullptr;
  uint32_t sent_ = 0;
  uint32_t taken_ = 0;
  uint32_t popped_ = 0;
};

std::unique_ptr<Scene> channel() { return std::make_unique<ChannelStage>(1, 2); }
std::unique_ptr<Scene> channel_wraps() { return std::make_unique<ChannelStage>(2, 3); }

}  // namespace

void add_wake_plays(std::vector<Play>& plays) {
  const std::vector<Bounds> usual = {{3, 1}, {2, 0, 2}, {1, 1, 1}};
  const std::vector<Bounds> all = {{3, 1}, {2, 2}, {3, 0, 3}, {2, 1, 1}};
  plays.push_back({"doorbell", "a receiver sleeps, and a publisher sends and rings", usual, all, doorbell});
  plays.push_back({"two-ring", "two publishers and a sleeper", {{2, 0}, {1, 1}, {1, 0, 1}}, {{2, 1}, {2, 0, 2}, {1, 1, 1}}, two_ring});
  plays.push_back({"room", "a publisher waits for room, asleep", usual, all, room});
  plays.push_back({"two-wait", "two publishers wait for room", {{2, 0}, {1, 1}, {1, 0, 1}}, {{2, 1}, {2, 0, 2}, {1, 1, 1}}, two_wait});
  plays.push_back({"channel", "a channel of one slot, whose ends sleep", {{3, 1}, {3, 0, 2}, {2, 1, 1}}, {{4, 1}, {4, 0, 3}, {3, 1, 2}}, channel});
  plays.push_back({"channel-wraps", "a channel of two slots, three messages", {{3, 1}, {3, 0, 2}, {2, 1, 1}}, {{4, 1}, {4, 0, 3}, {3, 1, 2}}, channel_wraps});
}

}  // namespace ripstop::explorer
