// The victim receives.
#include "base/check.h"
#include "proof/states.h"

namespace ripstop::proof {

namespace {

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

std::string heirs(const Shape& shape) { return shape.successors ? ", then a successor" : ""; }

void laps(World& world) { send_and_receive(world, other(world), 7 * kCapacity + 2); }

void add_takes(Scenarios& list, const std::string& kind, const SubscriberOptions& options, const Shape& shape) {
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
  for (const State& state : states) {
    list.push_back({"take from " + kind, state.name + heirs(shape), shape, with(state.make), take, 0, 0});
    list.push_back({"take and release from " + kind, state.name + heirs(shape), shape, with(state.make), take_and_release, 0, 1});
    if (shape.successors) continue;  // Nobody is to succeed one that detaches.
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
  list.push_back({"take from " + kind + " past a kept message", "two in hand" + heirs(shape), shape, with(keep(2)), take, 0, 0});
  list.push_back({"release to " + kind, "the oldest of two" + heirs(shape), shape, with(keep(2)), release_first, 0, 1});
  list.push_back({"release to " + kind, "from the held table" + heirs(shape), shape, with(keep(4)), release_first, 0, 1});
  if (shape.successors) return;  // What follows ends otherwise than with a message in lane or hand.
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

void add_direct_takes(Scenarios& list, const Shape& shape) {
  const auto with = [](uint32_t count, uint32_t kept) {
    return [=](World& world) {
      make_taker(world, {});
      open_direct(world, other(world));
      fill(world, count);
      for (uint32_t i = 0; i < kept; ++i) world.keep(victim(world));
    };
  };
  for (const uint32_t count : {1u, kDirectRoom, kDirectRoom + 2}) {
    const std::string state = std::to_string(count) + " there" + heirs(shape);
    list.push_back({"take from a direct lane", state, shape, with(count, 0), take, 0, 0});
    list.push_back({"take and release from a direct lane", state, shape, with(count, 0), take_and_release, 0, 1});
    list.push_back({"release to a direct lane", state, shape, with(count, 1), release_first, 0, 1});
  }
  for (const uint32_t kept : {0u, 1u}) {
    list.push_back({"take and release from a direct lane that has ended", std::to_string(kept) + " kept" + heirs(shape), shape,
                    [=](World& world) {
                      with(kept + 1, kept)(world);
                      other(world).publisher.reset();
                      other(world).open_publisher();
                    },
                    take_and_release, 0, 1});
  }
}

}  // namespace

void add_receivers(Scenarios& list) {
  for (const bool successors : {false, true}) {
    Shape shape;
    shape.successors = successors;
    add_takes(list, "a lane", {}, shape);
    add_takes(list, "a ring of its own", {.own_ring = true}, shape);
    add_takes(list, "a drop-oldest ring", {.overflow = Overflow::DropOldest}, shape);
    add_direct_takes(list, shape);
  }
}

}  // namespace ripstop::proof
