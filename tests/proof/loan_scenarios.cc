// The victim loans, aborts, and detaches as a publisher.
#include "base/check.h"
#include "proof/states.h"

namespace ripstop::proof {

namespace {

void add_loans_and_aborts(Scenarios& list) {
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

void add_detaches(Scenarios& list) {
  const Act detach = [](Member& self) { (void)self.core->detach(); };
  list.push_back({"detach", "nothing done", {}, [](World& world) { make_receivers(world, 1); }, detach, 0, 0});
  list.push_back({"detach", "messages in flight", {},
                  [](World& world) {
                    make_receivers(world, 1);
                    for (uint32_t i = 0; i < kCapacity - 1; ++i) (void)world.send(victim(world));
                  },
                  detach, 0, 0});
  list.push_back({"detach", "messages in flight and a loan out", {},
                  [](World& world) {
                    make_receivers(world, 1);
                    for (uint32_t i = 0; i < kCapacity - 1; ++i) (void)world.send(victim(world));
                    victim(world).take_further(9);
                  },
                  detach, 0, 0});
}

}  // namespace

void add_loans(Scenarios& list) {
  add_loans_and_aborts(list);
  add_detaches(list);
}

}  // namespace ripstop::proof
