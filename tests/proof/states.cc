#include "proof/states.h"

#include "base/check.h"
#include "ring/doorbell.h"

namespace ripstop::proof {

namespace {

void go_round(World& world) {
  for (uint32_t i = 0; i < 7 * kCapacity + 2; ++i) send_and_receive(world, i % 3 == 0 ? victim(world) : other(world), 1);
}

// As a pusher leaves it that was killed between its swap and its hint, several times.
void let_hints_lag(World& world) {
  go_round(world);
  fill(world, 2);
  for (Member& member : world.members()) {
    if (member.subscriptions.empty()) continue;
    std::atomic<uint64_t>& hint = world.map().lane(member.core->block(), kLane).tail_hint();
    hint.store(hint.load() - kCapacity - 1);
  }
}

}  // namespace

void make_receivers(World& world, uint32_t receiver_count, const SubscriberOptions& options) {
  world.attach("victim").open_publisher();
  world.attach("other").open_publisher();
  for (uint32_t i = 0; i < receiver_count; ++i) {
    (void)world.subscribe(world.attach("receiver" + std::to_string(i)), options);
  }
}

Shape shape_for(uint32_t receiver_count) {
  Shape shape;
  shape.agents = receiver_count + 2;
  return shape;
}

void receive_all(World& world) {
  for (Member& member : world.members()) {
    if (!member.subscriptions.empty() && !member.subscriptions.front().expected.empty()) world.receive(member);
  }
}

void send_and_receive(World& world, Member& publisher, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    (void)world.send(publisher);
    receive_all(world);
  }
}

void fill(World& world, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) (void)world.send(other(world));
}

void fall_asleep(World& world) {
  for (Member& member : world.members()) {
    if (!member.subscriptions.empty()) ring::Sleeper(member.core->block().front.doorbell).arm();
  }
}

std::vector<State> mail_states() {
  return {
      {"empty", [](World&) {}},
      {"one message", [](World& world) { fill(world, 1); }},
      {"one slot left", [](World& world) { fill(world, kCapacity - 1); }},
      {"full", [](World& world) { fill(world, kCapacity); }},
      {"seven laps on", go_round},
      {"its own messages before",
       [](World& world) {
         for (uint32_t i = 0; i < kCapacity - 1; ++i) (void)world.send(victim(world));
       }},
      {"hints lag", let_hints_lag},
      {"receivers asleep", fall_asleep},
      {"one kept in hand",
       [](World& world) {
         fill(world, 2);
         for (std::size_t i = 2; i < world.members().size(); ++i) world.keep(world.members()[i]);
       }},
      {"one kept in hand of a full ring",
       [](World& world) {
         fill(world, kCapacity);
         for (std::size_t i = 2; i < world.members().size(); ++i) world.keep(world.members()[i]);
       }},
      {"the first has room, the others are full",
       [](World& world) {
         for (uint32_t i = 0; i < kCapacity; ++i) {
           (void)world.send(other(world));
           world.receive(world.members()[2]);
         }
       }},
  };
}

void open_direct(World& world, Member& publisher) {
  send_and_receive(world, publisher, kSendsUntilDirect + 3);
  for (Member& member : world.members()) {
    for (Subscription& subscription : member.subscriptions) {
      RIPSTOP_CHECK(layout::unpack_direct(member.core->block().direct[0].low.load()).state == layout::DirectState::Open);
      subscription.room = kDirectRoom + kCapacity;
    }
  }
}

}  // namespace ripstop::proof
