#include "proof/wake_scenarios.h"

#include <cstring>

#include "base/check.h"
#include "memory/holders.h"
#include "proof/states.h"
#include "ring/doorbell.h"

namespace ripstop::proof {

namespace {

using Scenes = std::vector<WakeScenario>;

// Whether any message lies anywhere, where everybody had taken everything.
bool lies_anywhere(World& world) {
  const memory::ChunkMap& chunks = world.map().chunks();
  for (uint32_t slab = 0; slab < chunks.slab_count(0); ++slab) {
    for (uint32_t index = 0; index < chunks.slab(0, slab).chunk_count; ++index) {
      const memory::Holders holders = memory::read_holders(*chunks.find(layout::make_chunk_id(0, slab, index)));
      if ((holders.bits & layout::kDeliveryHolds) != 0) return true;
    }
  }
  return false;
}

// The receivers, each on its doorbell.
std::vector<Asleep> sleeping_receivers(World& world) {
  std::vector<Asleep> sleepers;
  for (std::size_t i = 2; i < world.members().size(); ++i) {
    Member& member = world.members()[i];
    std::atomic<uint32_t>& bell = member.core->block().front.doorbell;
    ring::Sleeper(bell).arm();
    // For a lane that has ended has_mail() says that there is something to look at, which is no message.
    sleepers.push_back({member.name, &bell, bell.load(),
                        [&] { return member.core->inbox().has_mail() && lies_anywhere(world); }});
  }
  return sleepers;
}

void add_sends(Scenes& list) {
  const auto send = [](Member& self) { (void)self.send(); };
  const auto to = [&](const std::string& name, uint32_t count, const SubscriberOptions& options, const Act& operate) {
    list.push_back({name, shape_for(count),
                    [=](World& world) {
                      make_receivers(world, count, options);
                      RIPSTOP_CHECK(victim(world).take_loan());
                    },
                    sleeping_receivers, operate, true});
  };
  const auto send_loan = [](Member& self) { (void)self.send_loan(); };
  to("send to 1", 1, {}, send_loan);
  to("send to 4", 4, {}, send_loan);
  to("send to a ring of its own", 1, {.own_ring = true}, send_loan);
  to("send to 3 drop-oldest rings", 3, {.overflow = Overflow::DropOldest}, send_loan);
  to("send of 2 segments to 6", 6, {}, [](Member& self) {
    self.take_further(1);
    (void)self.send_loan();
  });
  to("two sends to 2", 2, {}, [](Member& self) {
    (void)self.send_loan();
    (void)self.send();
  });
  for (const uint32_t count : {1u, 4u}) {
    list.push_back({"direct send to " + std::to_string(count), shape_for(count),
                    [=](World& world) {
                      make_receivers(world, count);
                      open_direct(world, victim(world));
                    },
                    sleeping_receivers, send, true});
  }
}

// The other publisher waits for room in a ring of the victim's.
void add_releases(Scenes& list) {
  for (const bool own_ring : {false, true}) {
    list.push_back({own_ring ? "release to a ring of its own" : "release to a lane", {},
                    [=](World& world) {
                      (void)world.subscribe(world.attach("victim"), {.own_ring = own_ring});
                      world.attach("other").open_publisher();
                      fill(world, kCapacity);
                    },
                    [](World& world) {
                      const Member& self = victim(world);
                      const uint32_t ring_id = self.subscriptions.front().ring_id;
                      const auto queue = ring_id == 0 ? std::nullopt : world.map().queue(ring_id);
                      layout::AgentBlock& block = *world.map().block(self.place.id);
                      layout::RingBack& back = queue ? queue->block->back : block.back;
                      const ring::MpmcRing ring = queue ? queue->ring : world.map().lane(block, kLane);
                      const uint64_t incarnation = queue ? queue->incarnation : self.place.incarnation;
                      back.space_waiters.store(1);
                      return std::vector<Asleep>{{"the waiting publisher", &back.space_word, back.space_word.load(), [=] {
                                                    return ring.find_tail(incarnation).outcome != ring::Push::Full;
                                                  }}};
                    },
                    [](Member& self) { (void)self.subscriptions.front().take_and_release(); }, false});
  }
}

void add_channels(Scenes& list) {
  const auto open_both = [](World& world, control::ChannelEnd victims) {
    const bool sends = victims == control::ChannelEnd::Sender;
    world.attach("victim");
    world.attach("other").open_publisher();
    world.open_channel(victim(world), victims);
    world.open_channel(other(world), sends ? control::ChannelEnd::Receiver : control::ChannelEnd::Sender);
  };
  const auto bell_of = [](std::atomic<uint32_t>& bell, std::function<bool()> has_news) {
    ring::Sleeper(bell).arm();
    return std::vector<Asleep>{{"the other end", &bell, bell.load(), std::move(has_news)}};
  };
  const auto send = [](Member& self) {
    std::memset(self.channel->slot().data(), 1, sizeof(Payload));
    (void)self.channel->send(sizeof(Payload), 0);
  };
  list.push_back({"channel send", {},
                  [=](World& world) { open_both(world, control::ChannelEnd::Sender); },
                  [=](World& world) {
                    ring::SpscChannel& ring = other(world).channel->ring();
                    return bell_of(ring.header().doorbell, [&ring] { return ring.has_message(); });
                  },
                  send, true});
  list.push_back({"channel release", {},
                  [=](World& world) {
                    open_both(world, control::ChannelEnd::Receiver);
                    while (!other(world).channel->slot().empty()) send(other(world));
                  },
                  [=](World& world) {
                    ring::SpscChannel& ring = other(world).channel->ring();
                    return bell_of(ring.header().space_bell, [&ring] { return ring.has_room(); });
                  },
                  [](Member& self) {
                    std::span<const std::byte> payload;
                    RIPSTOP_CHECK(self.channel->take(payload) == TakeOutcome::Ok);
                    self.channel->release();
                  },
                  true});
}

}  // namespace

std::vector<WakeScenario> wake_scenarios() {
  Scenes list;
  add_sends(list);
  add_releases(list);
  add_channels(list);
  return list;
}

}  // namespace ripstop::proof
