// The victim sends through rings.
#include <array>

#include "base/check.h"
#include "proof/states.h"

namespace ripstop::proof {

namespace {

void send(Member& self) { (void)self.send(); }
void send_loan(Member& self) { (void)self.send_loan(); }

void add_sends_to_inboxes(Scenarios& list) {
  for (const uint32_t receiver_count : {1u, 4u, 20u}) {
    for (const State& state : mail_states()) {
      list.push_back({"send to " + std::to_string(receiver_count), state.name, shape_for(receiver_count),
                      [=](World& world) {
                        make_receivers(world, receiver_count);
                        state.make(world);
                        RIPSTOP_CHECK(victim(world).take_loan());
                      },
                      send_loan, 1, 0});
    }
  }
  // Ten agents: an inbox and six rings of their own each. More than one word of holders has bits for.
  for (const State& state : {mail_states()[0], mail_states()[3], mail_states()[4]}) {
    list.push_back({"send to 70", state.name, shape_for(10),
                    [=](World& world) {
                      make_receivers(world, 10);
                      for (std::size_t i = 2; i < world.members().size(); ++i) {
                        for (int ring = 0; ring < 6; ++ring) (void)world.subscribe(world.members()[i], {.own_ring = true});
                      }
                      state.make(world);
                      RIPSTOP_CHECK(victim(world).take_loan());
                    },
                    send_loan, 1, 0});
  }
  // Two agents with two rings each, whose first delivery is taken and released before recovery comes.
  for (const uint32_t own_count : {1u, 2u}) {
    for (const State& state : {mail_states()[0], mail_states()[1]}) {
      list.push_back({"send to an inbox and " + std::to_string(own_count) + " rings of its own, each of two", state.name, shape_for(2),
                      [=](World& world) {
                        make_receivers(world, 2);
                        for (std::size_t i = 2; i < world.members().size(); ++i) {
                          for (uint32_t ring = 0; ring < own_count; ++ring) (void)world.subscribe(world.members()[i], {.own_ring = true});
                        }
                        state.make(world);
                        RIPSTOP_CHECK(victim(world).take_loan());
                      },
                      send_loan, 1, 0, true});
    }
  }
  for (const uint32_t receiver_count : {1u, 5u}) {
    for (const State& state : mail_states()) {
      list.push_back({"send of 3 segments to " + std::to_string(receiver_count), state.name, shape_for(receiver_count),
                      [=](World& world) {
                        make_receivers(world, receiver_count);
                        state.make(world);
                        RIPSTOP_CHECK(victim(world).take_loan());
                        victim(world).take_further(2);
                      },
                      send_loan, 1, 0});
    }
  }
  Shape small = shape_for(20);
  small.slabs = 2;
  list.push_back({"send to 20", "no chunk for the receivers' names", small,
                  [](World& world) {
                    make_receivers(world, 20);
                    RIPSTOP_CHECK(victim(world).take_loan());
                    victim(world).take_further(15);
                    victim(world).further.clear();  // Out on loan, and no part of the message.
                  },
                  send_loan, 0, 0});
}

void add_evictions(Scenarios& list) {
  const SubscriberOptions drop_oldest{.overflow = Overflow::DropOldest};
  for (const uint32_t receiver_count : {1u, 3u}) {
    for (const State& state : mail_states()) {
      if (state.name == "hints lag") continue;  // Of lanes.
      list.push_back({"send with drop-oldest to " + std::to_string(receiver_count), state.name, shape_for(receiver_count),
                      [=](World& world) {
                        make_receivers(world, receiver_count, drop_oldest);
                        state.make(world);
                      },
                      send, 1, 0});
    }
  }
  list.push_back({"send with drop-oldest to 1", "another evictor was killed before the bit", shape_for(1),
                  [=](World& world) {
                    make_receivers(world, 1, drop_oldest);
                    fill(world, kCapacity);
                    Subscription& subscription = world.members()[2].subscriptions.front();
                    ring::MpmcRing ring = world.map().queue(subscription.ring_id)->ring;
                    const uint64_t oldest = ring.head_hint().load();
                    ring::SlotView slot = ring.read(oldest);
                    RIPSTOP_CHECK(ring.take(oldest, slot, layout::kOwnerDropped));
                    subscription.expected.pop_front();
                  },
                  send, 1, 0});
  list.push_back({"send with drop-oldest to 1", "the ring is somebody else's since, and full", shape_for(2),
                  [=](World& world) {
                    make_receivers(world, 1, drop_oldest);
                    send_and_receive(world, victim(world), 1);
                    auto& epoch = world.segments().superblock().route_epoch;
                    std::array<uint64_t, layout::kEpochShards> seen{};
                    for (std::size_t shard = 0; shard < seen.size(); ++shard) seen[shard] = epoch[shard].load();
                    Member& last = world.members().back();
                    const uint32_t ring_id = last.subscriptions.front().ring_id;
                    world.registry().settle(last.place.id, false);
                    last.dead = true;
                    last.subscriptions.clear();
                    Subscription& subscription = world.subscribe(world.attach("newcomer"), drop_oldest);
                    RIPSTOP_CHECK(subscription.ring_id == ring_id);
                    fill(world, kCapacity);
                    // Stands in for a victim that was stopped right after its look at the epoch.
                    for (std::size_t shard = 0; shard < seen.size(); ++shard) epoch[shard].store(seen[shard]);
                  },
                  send, 0, 0});
  for (const State& state : {mail_states()[3], mail_states()[1]}) {
    list.push_back({"send with every policy", state.name, shape_for(4),
                    [=](World& world) {
                      make_receivers(world, 0);
                      for (const Overflow overflow : {Overflow::DropNewest, Overflow::DropOldest, Overflow::Fail, Overflow::Block}) {
                        (void)world.subscribe(world.attach("receiver" + std::to_string(static_cast<int>(overflow))), {.overflow = overflow});
                      }
                      state.make(world);
                    },
                    send, 1, 0});
  }
}

}  // namespace

void add_sends(Scenarios& list) {
  add_sends_to_inboxes(list);
  add_evictions(list);
}

}  // namespace ripstop::proof
