#include "proof/scenario.h"

#include "base/check.h"
#include "ring/doorbell.h"

namespace ripstop::proof {

namespace {

constexpr uint32_t kCapacity = 4;
constexpr std::size_t kLane = static_cast<std::size_t>(Priority::Normal);
// A publisher opens a direct lane with this many messages to receivers that keep up.
constexpr uint32_t kSendsUntilDirect = 128;
constexpr uint32_t kDirectRoom = 8;  // Chunks of a slab.

using List = std::vector<Scenario>;
using Act = std::function<void(Member&)>;

struct State {
  std::string name;
  std::function<void(World&)> make;
};

Member& victim(World& world) { return world.members()[0]; }
Member& other(World& world) { return world.members()[1]; }

// The victim and the other publisher, then `receiver_count` agents with one subscription each.
void make_receivers(World& world, uint32_t receiver_count, const SubscriberOptions& options = {}) {
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

// The other publisher's: what lies in the rings before the operation.
void fill(World& world, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) (void)world.send(other(world));
}

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

void send(Member& self) { (void)self.send(); }
void send_loan(Member& self) { (void)self.send_loan(); }

// --- publishers --------------------------------------------------------------------------------------

void add_sends(List& list) {
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

void add_evictions(List& list) {
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

void add_loans(List& list) {
  const auto plain = [](World& world) { make_receivers(world, 1); };
  list.push_back({"loan", "no slab yet", {}, plain, [](Member& self) { (void)self.take_loan(); }, 0, 0});
  list.push_back({"loan", "a slab in use", {}, [](World& world) { make_receivers(world, 1), send_and_receive(world, victim(world), 20); },
                  [](Member& self) { (void)self.take_loan(); }, 0, 0});
  list.push_back({"loan", "its slab used up", {},
                  [](World& world) {
                    make_receivers(world, 1);
                    victim(world).take_further(8);
                  },
                  [](Member& self) { (void)self.take_loan(); }, 0, 0});
  list.push_back({"loan", "a dead agent's slab with messages in flight", {},
                  [](World& world) {
                    make_receivers(world, 1);
                    Member& dead = world.attach("dead");
                    dead.open_publisher();
                    for (uint32_t i = 0; i < kCapacity - 1; ++i) (void)world.send(dead);
                    world.registry().settle(dead.place.id, true);
                    dead.place.id = 0;  // Its number is the successor's.
                  },
                  [](Member& self) { (void)self.take_loan(); }, 0, 0});
  list.push_back({"loan", "pool empty", {.slabs = 2},
                  [](World& world) {
                    make_receivers(world, 1);
                    victim(world).take_further(16);
                  },
                  [](Member& self) { (void)self.take_loan(); }, 0, 0});
  list.push_back({"abort", "one segment", {},
                  [](World& world) {
                    make_receivers(world, 1);
                    RIPSTOP_CHECK(victim(world).take_loan());
                  },
                  [](Member& self) { self.loan.reset(); }, 0, 0});
  list.push_back({"abort", "three segments", {},
                  [](World& world) {
                    make_receivers(world, 1);
                    RIPSTOP_CHECK(victim(world).take_loan());
                    victim(world).take_further(2);
                  },
                  [](Member& self) { self.publisher->abort(detail::PublisherCore::chunk_of(*self.loan), self.further); }, 0, 0});
}

void add_detaches(List& list) {
  const Act detach = [](Member& self) { (void)self.core->detach(); };
  list.push_back({"detach", "nothing done", {}, [](World& world) { make_receivers(world, 1); }, detach, 0, 0});
  list.push_back({"detach", "messages in flight and a loan out", {},
                  [](World& world) {
                    make_receivers(world, 1);
                    for (uint32_t i = 0; i < kCapacity - 1; ++i) (void)world.send(victim(world));
                    victim(world).take_further(9);
                  },
                  detach, 0, 0});
}

// --- direct lanes ------------------------------------------------------------------------------------

void open_direct(World& world, Member& publisher) {
  send_and_receive(world, publisher, kSendsUntilDirect + 3);
  for (Member& member : world.members()) {
    for (Subscription& subscription : member.subscriptions) {
      RIPSTOP_CHECK(layout::unpack_direct(member.core->block().direct[0].low.load()).state == layout::DirectState::Open);
      subscription.room = kDirectRoom + kCapacity;
    }
  }
}

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

void add_direct_lanes(List& list) {
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
                  [](Member& self) { self.take_further(1); }, 0, 0});
}

// --- receivers -----------------------------------------------------------------------------------------

// The victim receives, and another one beside it.
void make_taker(World& world, const SubscriberOptions& options) {
  (void)world.subscribe(world.attach("victim"), options);
  world.attach("other").open_publisher();
  (void)world.subscribe(world.attach("receiver"));
}

void take(Member& self) {
  if (auto message = self.subscriptions.front().take()) self.in_hand.push_back({std::move(*message), 0});
}
void take_and_release(Member& self) { (void)self.subscriptions.front().take_and_release(); }
void release_first(Member& self) { self.in_hand.pop_front(); }

void laps(World& world) { send_and_receive(world, other(world), 7 * kCapacity + 2); }

void add_takes(List& list, const std::string& kind, const SubscriberOptions& options) {
  const auto with = [=](const std::function<void(World&)>& make) {
    return [=](World& world) {
      make_taker(world, options);
      make(world);
    };
  };
  const std::vector<State> states = {
      {"one message", [](World& world) { fill(world, 1); }},
      {"full", [](World& world) { fill(world, kCapacity); }},
      {"wrapped", [](World& world) { laps(world), fill(world, 3); }},
      {"one in hand", [](World& world) { laps(world), fill(world, 3), world.keep(victim(world)); }},
  };
  const Shape shape;
  for (const State& state : states) {
    list.push_back({"take from " + kind, state.name, shape, with(state.make), take, 0, 0});
    list.push_back({"take and release from " + kind, state.name, shape, with(state.make), take_and_release, 0, 1});
    list.push_back({"detach with mail in " + kind, state.name, shape, with(state.make), [](Member& self) { (void)self.core->detach(); }, 0, 0});
  }
  list.push_back({"take from " + kind, "empty", shape, with([](World&) {}), take, 0, 0});
  const auto keep = [](uint32_t count) {
    return [count](World& world) {
      laps(world);
      fill(world, kCapacity);
      for (uint32_t i = 0; i < count; ++i) world.keep(victim(world));
    };
  };
  list.push_back({"take from " + kind + " past a kept message", "two in hand", shape, with(keep(2)), take, 0, 0});
  list.push_back({"release to " + kind, "the oldest of two", shape, with(keep(2)), release_first, 0, 1});
  list.push_back({"release to " + kind, "from the held table", shape, with(keep(4)), release_first, 0, 1});
  list.push_back({"end of a subscription of " + kind, "messages there and in hand", shape, with(keep(2)),
                  [](Member& self) { self.subscriptions.clear(); }, 0, 0});
  if (options.overflow != Overflow::DropOldest) return;
  list.push_back({"take and release from " + kind, "an evictor was killed before the bit", shape,
                  with([](World& world) {
                    fill(world, kCapacity);
                    Subscription& subscription = victim(world).subscriptions.front();
                    ring::MpmcRing ring = world.map().queue(subscription.ring_id)->ring;
                    ring::SlotView slot = ring.read(ring.head_hint().load());
                    RIPSTOP_CHECK(ring.take(ring.head_hint().load(), slot, layout::kOwnerDropped));
                  }),
                  take_and_release, 0, 1});
}

void add_direct_takes(List& list) {
  const auto with = [](uint32_t count, uint32_t kept) {
    return [=](World& world) {
      make_taker(world, {});
      open_direct(world, other(world));
      fill(world, count);
      for (uint32_t i = 0; i < kept; ++i) world.keep(victim(world));
    };
  };
  for (const uint32_t count : {1u, kDirectRoom, kDirectRoom + 2}) {
    const std::string state = std::to_string(count) + " there";
    list.push_back({"take from a direct lane", state, {}, with(count, 0), take, 0, 0});
    list.push_back({"take and release from a direct lane", state, {}, with(count, 0), take_and_release, 0, 1});
    list.push_back({"release to a direct lane", state, {}, with(count, 1), release_first, 0, 1});
  }
  for (const uint32_t kept : {0u, 1u}) {
    list.push_back({"take and release from a direct lane that has ended", std::to_string(kept) + " kept", {},
                    [=](World& world) {
                      with(kept + 1, kept)(world);
                      other(world).publisher.reset();
                      other(world).open_publisher();
                    },
                    take_and_release, 0, 1});
  }
}

}  // namespace

std::vector<Scenario> scenarios() {
  List list;
  add_sends(list);
  add_direct_lanes(list);
  add_evictions(list);
  add_loans(list);
  add_takes(list, "a lane", {});
  add_takes(list, "a ring of its own", {.own_ring = true});
  add_takes(list, "a drop-oldest ring", {.overflow = Overflow::DropOldest});
  add_direct_takes(list);
  add_detaches(list);
  return list;
}

}  // namespace ripstop::proof
