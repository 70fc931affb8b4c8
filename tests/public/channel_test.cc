// Method: channels between agents of one process, and between two where one sleeps.
#include <algorithm>

#include "plan.capnp.h"
#include "real_fabric.h"
#include "ripstop/capnp.h"
#include "ripstop/channel.h"

namespace ripstop::test {
namespace {

using Pipe = Channel<Bytes>;

class Channels : public OnRealFabric {};

std::span<const std::byte> bytes_of(const uint64_t& number) { return std::as_bytes(std::span(&number, 1)); }

TEST_F(Channels, BytesArriveInOrderAndAFullChannelSaysSo) {
  Agent one = attach("one");
  Agent two = attach("two");
  auto sender = must(one.channel_sender("pipe", {.payload_bytes = 112, .slot_count = 16}));
  auto receiver = must(two.channel_receiver("pipe", {.payload_bytes = 112, .slot_count = 16}));
  std::span<const std::byte> payload;
  EXPECT_EQ(receiver.take(payload), TakeOutcome::Empty);
  EXPECT_EQ(receiver.take(payload, 1ms), TakeOutcome::Empty);
  uint64_t next = 0, taken = 0;
  for (int round = 0; round < 10; ++round) {
    for (ChannelOutcome outcome = ChannelOutcome::Ok; outcome == ChannelOutcome::Ok;) {
      outcome = sender.send_copy(bytes_of(next));
      if (outcome == ChannelOutcome::Ok) ++next;
    }
    EXPECT_EQ(next - taken, 16u);
    EXPECT_TRUE(sender.slot().empty());
    EXPECT_EQ(sender.send(1), ChannelOutcome::Full);
    EXPECT_EQ(sender.wait_for_room(20ms), ChannelOutcome::Full);
    EXPECT_EQ(sender.sequence(), next);
    for (int i = 0; i < 11; ++i) {
      ASSERT_EQ(receiver.take(payload), TakeOutcome::Ok);
      EXPECT_EQ(number_of(payload), taken++);
      EXPECT_EQ(receiver.sequence(), taken);
      EXPECT_FALSE(receiver.repeated());
      ASSERT_EQ(receiver.take(payload), TakeOutcome::Ok);  // The same until it is released.
      EXPECT_EQ(number_of(payload), taken - 1);
      receiver.release();
    }
    EXPECT_EQ(sender.wait_for_room(0ns), ChannelOutcome::Ok);
  }
}

TEST_F(Channels, ASlotIsFilledInPlaceAndWhatExceedsItIsRefusedWhole) {
  Agent agent = attach("one");
  auto sender = must(agent.channel_sender("slot"));
  auto receiver = must(agent.channel_receiver("slot"));
  EXPECT_GE(sender.payload_bytes_max(), 112u);
  const std::size_t max = sender.payload_bytes_max();
  const std::vector<std::byte> large(max + 1, std::byte{7});
  EXPECT_EQ(sender.send_copy(large), ChannelOutcome::TooLarge);
  EXPECT_EQ(sender.send(max + 1), ChannelOutcome::TooLarge);
  std::span<const std::byte> payload;
  EXPECT_EQ(receiver.take(payload), TakeOutcome::Empty);
  const auto slot = sender.slot();
  ASSERT_EQ(slot.size(), max);
  EXPECT_EQ(sender.slot().data(), slot.data());
  std::ranges::fill(slot, std::byte{9});
  EXPECT_EQ(sender.send(max), ChannelOutcome::Ok);
  ASSERT_EQ(receiver.take(payload), TakeOutcome::Ok);
  EXPECT_EQ(payload.size(), max);
  EXPECT_TRUE(std::ranges::all_of(payload, [](std::byte byte) { return byte == std::byte{9}; }));
  receiver.release();
  EXPECT_EQ(sender.send(0), ChannelOutcome::Ok);
  ASSERT_EQ(receiver.take(payload), TakeOutcome::Ok);
  EXPECT_TRUE(payload.empty());
}

TEST_F(Channels, AnEndIsTakenOnceAndTheOtherGeometryIsRefused) {
  Agent one = attach("one");
  Agent two = attach("two");
  std::optional<Pipe::Sender> sender(must(one.channel_sender("busy")));
  const auto second = two.channel_sender("busy");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::ChannelBusy);
  EXPECT_NE(to_string(second.error()).find("one"), std::string::npos) << to_string(second.error());
  EXPECT_FALSE(second.error().what.empty());
  EXPECT_FALSE(second.error().fix.empty());
  const auto other = two.channel_receiver("busy", {.payload_bytes = 1024, .slot_count = 256});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::WrongGeometry);
  EXPECT_FALSE(other.error().why.empty() && other.error().what.empty());
  EXPECT_TRUE(two.channel_receiver("busy"));
  sender.reset();
  EXPECT_TRUE(two.channel_sender("busy"));
}

TEST_F(Channels, ASleepingReceiverIsWokenAndASleepingSenderToo) {
  constexpr uint64_t kCount = 2000;
  Child child([](const Link& link) {
    Agent agent = attach("receiver", Wait::Sleep);
    auto receiver = must(agent.channel_receiver("wake", {.payload_bytes = 112, .slot_count = 16}));
    link.tell(1);
    for (uint64_t i = 0; i < kCount; ++i) {
      std::span<const std::byte> payload;
      if (receiver.take(payload, 10s) != TakeOutcome::Ok || number_of(payload) != i) return 3;
      if (i == 100) std::this_thread::sleep_for(100ms);  // The sender fills the channel and sleeps.
      receiver.release();
    }
    return 0;
  });
  Agent agent = attach("sender", Wait::Sleep);
  auto sender = must(agent.channel_sender("wake", {.payload_bytes = 112, .slot_count = 16}));
  ASSERT_TRUE(child.link().hear());
  std::this_thread::sleep_for(100ms);
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t i = 0; i < kCount; ++i) {
    while (sender.send_copy(bytes_of(i)) == ChannelOutcome::Full) {
      ASSERT_EQ(sender.wait_for_room(10s), ChannelOutcome::Ok) << i;
    }
    if (i < 20) std::this_thread::sleep_for(2ms);  // It sleeps each time.
  }
  EXPECT_EQ(child.wait(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 9s) << "somebody was woken by a timeout only";
}

TEST_F(Channels, TypedMessagesLieInTheirSlots) {
  Agent one = attach("one");
  Agent two = attach("two");
  const ChannelOptions options{.payload_bytes = 496, .slot_count = 16};
  auto sender = must(one.channel_sender<Plan>("typed", options));
  auto receiver = must(two.channel_receiver<Plan>("typed", options));
  const auto ignore = [](Plan::Reader) {};
  EXPECT_EQ(receiver.take(ignore), TakeOutcome::Empty);
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_EQ(sender.send([&](Plan::Builder plan) {
      plan.setTitle("plan " + std::to_string(i));
      plan.initSteps(2)[1].setNumber(i);
    }), ChannelOutcome::Ok);
    std::string title;
    uint64_t number = 0;
    ASSERT_EQ(receiver.take([&](Plan::Reader plan) {
      title = plan.getTitle().cStr();
      number = plan.getSteps()[1].getNumber();
    }), TakeOutcome::Ok);
    EXPECT_EQ(title, "plan " + std::to_string(i));
    EXPECT_EQ(number, i);
  }
  EXPECT_EQ(sender.send([](Plan::Builder plan) { plan.initSteps(1000); }), ChannelOutcome::TooLarge);
  EXPECT_EQ(receiver.take(ignore), TakeOutcome::Empty);
  const auto send_one = [&] { return sender.send([](Plan::Builder plan) { plan.setTitle("x"); }); };
  int count = 0;
  ChannelOutcome outcome;
  while ((outcome = send_one()) == ChannelOutcome::Ok) ASSERT_LT(++count, 100);
  EXPECT_EQ(outcome, ChannelOutcome::Full);
  EXPECT_EQ(count, 16);
  ASSERT_EQ(receiver.take([](Plan::Reader plan) { EXPECT_STREQ(plan.getTitle().cStr(), "x"); }, 1s), TakeOutcome::Ok);
  EXPECT_EQ(sender.wait_for_room(1s), ChannelOutcome::Ok);
  EXPECT_EQ(send_one(), ChannelOutcome::Ok);
}

TEST_F(Channels, WhatAKilledReceiverHadInHandComesAgainAndSaysSo) {
  Child child([](const Link& link) {
    Agent agent = attach("victim");
    auto receiver = must(agent.channel_receiver("again"));
    link.tell(1);
    std::span<const std::byte> payload;
    if (receiver.take(payload, 10s) != TakeOutcome::Ok) return 2;
    link.tell(1);
    for (;;) pause();
    return 0;
  });
  Agent agent = attach("one");
  auto sender = must(agent.channel_sender("again"));
  ASSERT_TRUE(child.link().hear());
  for (uint64_t i = 0; i < 3; ++i) ASSERT_EQ(sender.send_copy(bytes_of(i)), ChannelOutcome::Ok);
  ASSERT_TRUE(child.link().hear());
  (void)child.kill();
  std::optional<Pipe::Receiver> receiver;
  ASSERT_TRUE(wait_until([&] {
    auto opened = agent.channel_receiver("again");
    if (opened) receiver.emplace(std::move(*opened));
    return receiver.has_value();
  }));
  for (uint64_t i = 0; i < 3; ++i) {
    std::span<const std::byte> payload;
    ASSERT_EQ(receiver->take(payload, 1s), TakeOutcome::Ok);
    EXPECT_EQ(number_of(payload), i);
    if (i == 0) {
      EXPECT_TRUE(receiver->repeated());
    }
    receiver->release();
  }
}

}  // namespace
}  // namespace ripstop::test
