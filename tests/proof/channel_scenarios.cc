// The victim has one end of a channel; the other publisher has the other end, or a successor takes it up.
#include <cstring>

#include "base/check.h"
#include "proof/states.h"
#include "ring/doorbell.h"

namespace ripstop::proof {

namespace {

using control::ChannelEnd;

void send_number(Member& self, uint64_t id) {
  const Payload payload{id, ~id};
  const std::span<std::byte> slot = self.channel->slot();
  RIPSTOP_CHECK(slot.size() >= sizeof payload);
  std::memcpy(slot.data(), &payload, sizeof payload);
  (void)self.channel->send(sizeof payload, 0);
}

uint64_t take_number(Member& self) {
  std::span<const std::byte> bytes;
  if (self.channel->take(bytes) != TakeOutcome::Ok) return 0;
  Payload payload{};
  std::memcpy(&payload, bytes.data(), sizeof payload);
  self.channel->release();
  return payload.complement == ~payload.id ? payload.id : ~uint64_t{0};
}

Ids empty(Member& receiver) {
  Ids found;
  for (uint64_t id = take_number(receiver); id != 0 && found.size() < 64; id = take_number(receiver)) found.push_back(id);
  return found;
}

// The ledger is the receiver's, whoever sends.
void send_some(World& world, Member& sender, Member& receiver, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    send_number(sender, world.next_id());
    receiver.channel_expected.push_back(world.last_id());
  }
}

void go_round(World& world, Member& sender, Member& receiver) {
  for (uint32_t i = 0; i < 7 * kCapacity + 2; ++i) {
    send_some(world, sender, receiver, 1);
    RIPSTOP_CHECK(take_number(receiver) == world.last_id());
    receiver.channel_expected.clear();
  }
}

void open_both(World& world, ChannelEnd victims) {
  make_receivers(world, 1);
  world.open_channel(victim(world), victims);
  world.open_channel(other(world), victims == ChannelEnd::Sender ? ChannelEnd::Receiver : ChannelEnd::Sender);
}

Finding unlike(const Ids& found, const Ids& expected) {
  return {found.size() < expected.size() ? Fault::Lost : Fault::Doubled, "the channel has " + to_text(found) + ", expected " + to_text(expected)};
}

// A sender was killed: the receiver goes on, and so does the channel with another sender.
Finding look_at_receiver(World& world, uint64_t message, Stage& stage) {
  Member& receiver = other(world);
  Ids expected = receiver.channel_expected;
  const Ids found = empty(receiver);
  stage = found.size() > expected.size() ? Stage::After : Stage::Before;
  if (stage == Stage::After) expected.push_back(message);
  if (found != expected) return unlike(found, expected);
  Member& next = world.attach("next sender");
  world.open_channel(next, ChannelEnd::Sender);
  Ids sent;
  while (!next.channel->slot().empty()) {
    send_number(next, world.next_id());
    sent.push_back(world.last_id());
  }
  const Ids arrived = empty(receiver);
  if (arrived != sent || sent.size() != kCapacity) return unlike(arrived, sent);
  return {};
}

// A receiver was killed: the next one gets what that had not released, and hears that it may be a repetition.
Finding look_at_sender(World& world, uint64_t, Stage& stage) {
  Ids expected = victim(world).channel_expected;
  Member& next = world.attach("next receiver");
  world.open_channel(next, ChannelEnd::Receiver);
  const bool is_repeated = next.channel->ring().front_is_old();
  const Ids found = empty(next);
  stage = found.size() < expected.size() ? Stage::After : Stage::Before;
  if (stage == Stage::After) expected.pop_front();
  if (found != expected) return unlike(found, expected);
  if (!found.empty() && !is_repeated) return {Fault::Doubled, "the channel's next receiver is not told that it may repeat"};
  Ids sent;
  while (!other(world).channel->slot().empty()) {
    send_number(other(world), world.next_id());
    sent.push_back(world.last_id());
  }
  const Ids arrived = empty(next);
  if (arrived != sent || sent.size() != kCapacity) return unlike(arrived, sent);
  return {};
}

}  // namespace

void add_channels(Scenarios& list) {
  const auto send = [&](const std::string& state, const std::function<void(World&)>& make) {
    list.push_back({"channel send", state, {},
                    [=](World& world) {
                      open_both(world, ChannelEnd::Sender);
                      make(world);
                    },
                    [](Member& self) { send_number(self, the_world->next_id()); }, 0, 0});
    list.back().look = look_at_receiver;
  };
  const auto fill_channel = [](uint32_t count) {
    return [count](World& world) { send_some(world, victim(world), other(world), count); };
  };
  send("empty", fill_channel(0));
  send("one slot left", fill_channel(kCapacity - 1));
  send("seven laps on", [=](World& world) { go_round(world, victim(world), other(world)), fill_channel(2)(world); });
  send("receiver asleep", [](World& world) { ring::Sleeper(other(world).channel->ring().header().doorbell).arm(); });

  const auto take = [&](const std::string& state, const std::function<void(World&)>& make) {
    list.push_back({"channel take and release", state, {},
                    [=](World& world) {
                      open_both(world, ChannelEnd::Receiver);
                      make(world);
                    },
                    [](Member& self) { (void)take_number(self); }, 0, 0});
    list.back().look = look_at_sender;
  };
  const auto send_there = [](uint32_t count) {
    return [count](World& world) { send_some(world, other(world), victim(world), count); };
  };
  take("one message", send_there(1));
  take("full", send_there(kCapacity));
  take("seven laps on", [=](World& world) { go_round(world, other(world), victim(world)), send_there(2)(world); });
  take("full, sender asleep", [=](World& world) {
    send_there(kCapacity)(world);
    ring::Sleeper(other(world).channel->ring().header().space_bell).arm();
  });
}

}  // namespace ripstop::proof
