// The victim has messages in hand for too long: they go on without it, and it comes to give them back.
#include "proof/states.h"

namespace ripstop::proof {

namespace {

// Of these only the last is still new when a message comes again.
constexpr uint32_t kAttemptsMax = 2;

// What is in hand now is overdue. `requeue_count` 0: it becomes a dead letter.
std::function<void(World&)> revoke(uint32_t requeue_count) {
  return [=](World& world) { (void)world.registry().revoke_overdue(1, {0, requeue_count}); };
}

struct Kind {
  std::string name;
  SubscriberOptions options;
  bool direct;
};

void make_taker(World& world, const Kind& kind, uint32_t count, uint32_t kept) {
  (void)world.subscribe(world.attach("victim"), kind.options);
  world.attach("other").open_publisher();
  (void)world.subscribe(world.attach("receiver"));
  if (kind.direct) open_direct(world, other(world));
  else send_and_receive(world, other(world), 7 * kCapacity + 2);
  fill(world, count);
  for (uint32_t i = 0; i < kept; ++i) world.keep(victim(world));
}

void take(Member& self) {
  if (auto message = self.subscriptions.front().take()) self.in_hand.push_back({std::move(*message), 0});
}
void take_and_release(Member& self) { (void)self.subscriptions.front().take_and_release(); }
void release_first(Member& self) { self.in_hand.pop_front(); }

void add(Scenarios& list, Scenario scenario) {
  scenario.attempts_max = kAttemptsMax;
  list.push_back(std::move(scenario));
}

// The late one gives back what has gone on without it.
void add_late_releases(Scenarios& list, const Kind& kind, const Shape& shape) {
  for (const uint32_t requeue_count : {1u, 0u}) {
    if (requeue_count == 0 && !shape.successors) continue;  // Without dead letters it stays in hand.
    const std::string state = std::string(requeue_count == 0 ? "a dead letter" : "it came again") + (shape.successors ? ", then a successor" : "");
    const auto prepare = [=](uint32_t count, uint32_t kept) {
      return [=](World& world) {
        make_taker(world, kind, count, kept);
        revoke(requeue_count)(world);
      };
    };
    for (const uint32_t kept : {1u, 2u}) {
      Scenario late{"late release to " + kind.name, std::to_string(kept) + " in hand, " + state, shape, prepare(2, kept), release_first, 0, 0};
      late.gone_count = requeue_count == 0 ? kept : 0;
      add(list, std::move(late));
    }
    if (requeue_count == 0) continue;
    add(list, {"take and release from " + kind.name + " when it comes again", state, shape, prepare(1, 1), take_and_release, 0, 1});
  }
}

// It is stopped, and the lease is over when it goes on.
void add_stops(Scenarios& list, const Kind& kind, const Shape& shape) {
  const std::string state = shape.successors ? "then a successor" : "released";
  const auto prepare = [=](uint32_t count, uint32_t kept) {
    return [=](World& world) { make_taker(world, kind, count, kept); };
  };
  Scenario release{"release to " + kind.name + " with a lease", state, shape, prepare(3, 1), release_first, 0, 1};
  release.meanwhile = revoke(1);
  add(list, std::move(release));
  Scenario taking{"take from " + kind.name + " with a lease", state, shape, prepare(3, 1), take, 0, 0};
  taking.meanwhile = revoke(1);
  add(list, std::move(taking));
  Scenario both{"take and release from " + kind.name + " with a lease", state, shape, prepare(2, 0), take_and_release, 0, 1};
  both.meanwhile = revoke(1);
  add(list, std::move(both));
}

// The supervisor is killed while it takes messages away.
void add_revocations(Scenarios& list, const Kind& kind) {
  for (const bool successors : {false, true}) {
    Shape shape;
    shape.successors = successors;
    for (const uint32_t requeue_count : {1u, 0u}) {
      if (requeue_count == 0 && !successors) continue;
      for (const uint32_t kept : {1u, 2u}) {
        Scenario scenario{"revoke from " + kind.name,
                          std::to_string(kept) + (requeue_count == 0 ? ", dead letters" : ", they come again") + (successors ? ", then a successor" : ""),
                          shape, [=](World& world) { make_taker(world, kind, kept + 1, kept); }, {}, 0, 0};
        scenario.request = revoke(requeue_count);
        add(list, std::move(scenario));
      }
    }
  }
}

}  // namespace

void add_leases(Scenarios& list) {
  const Kind kinds[] = {
      {"a lane", {}, false},
      {"a ring of its own", {.own_ring = true}, false},
      {"a drop-oldest ring", {.overflow = Overflow::DropOldest}, false},
      {"a direct lane", {}, true},
  };
  for (const Kind& kind : kinds) {
    for (const bool successors : {false, true}) {
      Shape shape;
      shape.successors = successors;
      add_late_releases(list, kind, shape);
      add_stops(list, kind, shape);
    }
    add_revocations(list, kind);
  }
}

}  // namespace ripstop::proof
