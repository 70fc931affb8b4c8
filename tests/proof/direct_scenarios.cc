// The victim sends through direct lanes, opens and closes them.
#include "base/check.h"
#include "proof/states.h"

namespace ripstop::proof {

namespace {

void send(Member& self) { (void)self.send(); }

std::vector<State> direct_states() {
  const auto fill_lane = [](uint32_t count) {
    return [count](World& world) {
      for (uint32_t i = 0; i < count; ++i) (void)world.send(victim(world));
    };
  };
  return {
      {"empty", [](World&) {}},
      {"one message", fill_lane(1)},
      {"one chunk left", fill_lane(kDirectRoom - 1)},
      {"lane full", fill_lane(kDirectRoom)},
      {"lane full, rings too", fill_lane(kDirectRoom + kCapacity)},
      {"laps on", [](World& world) { send_and_receive(world, victim(world), 3 * kDirectRoom + 5); }},
      {"receivers asleep", fall_asleep},
      {"one kept in hand",
       [](World& world) {
         (void)world.send(victim(world));
         for (std::size_t i = 2; i < world.members().size(); ++i) world.keep(world.members()[i]);
         for (Member& member : world.members()) {
           for (Subscription& subscription : member.subscriptions) subscription.room = kDirectRoom + kCapacity;
         }
       }},
  };
}

}  // namespace

void add_direct_lanes(Scenarios& list) {
  for (const uint32_t receiver_count : {1u, 4u}) {
    const std::string to = " to " + std::to_string(receiver_count);
    for (const State& state : direct_states()) {
      const auto prepare = [=](World& world) {
        make_receivers(world, receiver_count);
        open_direct(world, victim(world));
        state.make(world);
      };
      list.push_back({"direct send" + to, state.name, shape_for(receiver_count), prepare, send, 1, 0});
      list.push_back({"direct lane" + to + " closed", state.name, shape_for(receiver_count), prepare,
                      [](Member& self) { self.publisher.reset(); }, 0, 0});
    }
    for (const State& state : {State{"empty", [](World&) {}}, State{"receivers asleep", fall_asleep}}) {
      list.push_back({"direct lane" + to + " opened by a send", state.name, shape_for(receiver_count),
                      [=](World& world) {
                        make_receivers(world, receiver_count);
                        send_and_receive(world, victim(world), kSendsUntilDirect - 1);
                        state.make(world);
                      },
                      send, 1, 0});
    }
  }
  Shape small;
  small.slabs = 4;
  list.push_back({"loan", "pool empty but for the direct lane's slab", small,
                  [](World& world) {
                    make_receivers(world, 1);
                    open_direct(world, victim(world));
                    victim(world).take_further(24);
                  },
                  [](Member& self) { (void)self.publisher->loan(sizeof(Payload), false); }, 0, 0});
}

}  // namespace ripstop::proof
