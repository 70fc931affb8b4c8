// Method: processes are forked with an agent attached, or killed with messages in lane and hand.
#include "real_fabric.h"

namespace ripstop::test {
namespace {

// What differs in a forked child, as a line each; runs in the child.
std::string calls_that_are_not_forked(Agent& agent, Publisher<Bytes>& publisher, Subscriber<Bytes>& subscriber,
                                      Channel<Bytes>::Sender& sender, Channel<Bytes>::Receiver& receiver,
                                      Loan<Bytes>& loan) {
  std::string wrong;
  const auto check = [&](const char* call, bool forked) {
    if (!forked) wrong += std::string(call) + "\n";
  };
  const auto cold = [&](const char* call, const auto& result) {
    check(call, !result && result.error().code == Errc::Forked && !result.error().fix.empty());
  };
  cold("publisher", agent.publisher("fork.other"));
  cold("subscriber", agent.subscriber("fork.other"));
  cold("channel_sender", agent.channel_sender("fork.other"));
  cold("channel_receiver", agent.channel_receiver("fork.other"));
  cold("fd", agent.fd());
  cold("loan", publisher.loan(8));
  cold("loan_batch", publisher.loan_batch(2, 8));
  cold("send_copy", publisher.send_copy("x"));
  check("send", loan.send().outcome == SendOutcome::Forked);
  check("next", agent.next(1s).outcome() == TakeOutcome::Forked);
  check("take", subscriber.take().outcome() == TakeOutcome::Forked);
  check("take(timeout)", subscriber.take(1s).outcome() == TakeOutcome::Forked);
  std::vector<Message<Bytes>> messages;
  check("take_batch", subscriber.take_batch(messages, 4) == 0);
  check("channel send", sender.send(1) == ChannelOutcome::Forked);
  check("channel send_copy", sender.send_copy(std::as_bytes(std::span("x"))) == ChannelOutcome::Forked);
  check("channel slot", sender.slot().empty());
  check("channel wait_for_room", sender.wait_for_room(1ms) == ChannelOutcome::Forked);
  std::span<const std::byte> payload;
  check("channel take", receiver.take(payload) == TakeOutcome::Forked);
  check("channel take(timeout)", receiver.take(payload, 1s) == TakeOutcome::Forked);
  receiver.release();
  agent.clear_fd();
  return wrong;
}

class ForkedAgent : public Messaging {};

TEST_F(ForkedAgent, EveryCallOfAForkedChildSaysSoAndTheParentIsUnaffected) {
  Agent agent = attach("parent");
  auto publisher = must(agent.publisher("fork.topic"));
  auto subscriber = must(agent.subscriber("fork.topic"));
  auto sender = must(agent.channel_sender("fork.channel"));
  auto receiver = must(agent.channel_receiver("fork.channel"));
  ASSERT_TRUE(send_number(publisher, 1));
  ASSERT_TRUE(send_number(publisher, 2));
  auto in_hand = subscriber.take();
  ASSERT_TRUE(in_hand);
  {
    auto loan = must(publisher.loan(8));
    std::memset(loan.bytes().data(), 7, 8);
    Child child([&](const Link&) {
      alarm(20);
      const std::string wrong = calls_that_are_not_forked(agent, publisher, subscriber, sender, receiver, loan);
      std::fputs(wrong.c_str(), stderr);
      in_hand->release();
      {  // Ends everything as a child's exit would.
        const auto ended_loan = std::move(loan);
        const auto ended_receiver = std::move(receiver);
        const auto ended_sender = std::move(sender);
        const auto ended_subscriber = std::move(subscriber);
        const auto ended_publisher = std::move(publisher);
        const auto ended_agent = std::move(agent);
      }
      // Anew, under a name of its own.
      Agent own = attach("child");
      auto own_publisher = must(own.publisher("fork.topic"));
      if (!send_number(own_publisher, 3)) return 4;
      return wrong.empty() ? 0 : 3;
    });
    EXPECT_EQ(child.wait(), 0) << "the calls above did not say Forked";
    EXPECT_EQ(std::to_integer<int>(loan.bytes()[7]), 7);
    EXPECT_TRUE(loan.send());
  }
  EXPECT_EQ(number_of(in_hand->bytes()), 1u);
  in_hand->release();
  EXPECT_EQ(take_numbers(subscriber), (std::vector<uint64_t>{2, 3, 0x0707070707070707}));
  EXPECT_EQ(sender.send_copy(std::as_bytes(std::span("x"))), ChannelOutcome::Ok);
  std::span<const std::byte> payload;
  EXPECT_EQ(receiver.take(payload, 1s), TakeOutcome::Ok);
  receiver.release();
  EXPECT_TRUE(agent.publisher("fork.new"));
}

TEST_F(ForkedAgent, AMessageInHandCanBeAskedAboutInAForkedChild) {
  // Its payload is not mapped there; what the library itself reads must not fault.
  Agent agent = attach("parent");
  auto publisher = must(agent.publisher("fork.hand"));
  auto subscriber = must(agent.subscriber("fork.hand"));
  ASSERT_TRUE(send_number(publisher, 1));
  auto in_hand = subscriber.take();
  ASSERT_TRUE(in_hand);
  const std::vector<std::pair<const char*, void (*)(Message<Bytes>&)>> calls = {
      {"info", [](Message<Bytes>& message) { (void)message.info(); }},
      {"topic", [](Message<Bytes>& message) { (void)message.topic(); }},
      {"segments", [](Message<Bytes>& message) { (void)message.segments(); }},
  };
  for (const auto& [name, call] : calls) {
    Child child([&](const Link&) {
      call(*in_hand);
      return 0;
    });
    EXPECT_EQ(child.wait(), 0) << name << "() ended the child by a signal (128 + it)";
  }
  const std::vector<std::pair<const char*, void (*)(Agent&, Publisher<Bytes>&, Subscriber<Bytes>&)>> more = {
      {"sequence", [](Agent&, Publisher<Bytes>& p, Subscriber<Bytes>&) { (void)p.sequence(); }},
      {"receiver_count", [](Agent&, Publisher<Bytes>& p, Subscriber<Bytes>&) { (void)p.receiver_count(); }},
      {"lost_count", [](Agent&, Publisher<Bytes>&, Subscriber<Bytes>& s) { (void)s.lost_count(); }},
      {"duplicate_count", [](Agent&, Publisher<Bytes>&, Subscriber<Bytes>& s) { (void)s.duplicate_count(); }},
      {"dropped_count", [](Agent&, Publisher<Bytes>&, Subscriber<Bytes>& s) { (void)s.dropped_count(); }},
      {"topic_name", [](Agent& a, Publisher<Bytes>& p, Subscriber<Bytes>&) { (void)a.topic_name(p.topic_id()); }},
      {"payload_bytes_max", [](Agent& a, Publisher<Bytes>&, Subscriber<Bytes>&) { (void)a.payload_bytes_max(); }},
  };
  for (const auto& [name, call] : more) {
    Child child([&](const Link&) {
      call(agent, publisher, subscriber);
      return 0;
    });
    EXPECT_EQ(child.wait(), 0) << name << "() ended the child by a signal (128 + it)";
  }
}

TEST_F(Messaging, WhatAKilledAgentHadComesBackAndItsNameIsFree) {
  Child child([](const Link& link) {
    Agent agent = attach("victim");
    auto subscriber = must(agent.subscriber("kill.in"));
    auto own_ring = must(agent.subscriber("kill.in", {.own_ring = true}));
    auto publisher = must(agent.publisher("kill.out"));
    link.tell(1);
    if (!link.hear()) return 2;
    std::vector<Message<Bytes>> in_hand;
    if (subscriber.take_batch(in_hand, 3) != 3) return 3;
    auto own_in_hand = own_ring.take();
    for (uint64_t i = 0; i < 5; ++i) {
      if (!send_number(publisher, i)) return 4;
    }
    auto loan = publisher.loan(100);
    auto large_loan = publisher.loan(1u << 20);
    if (!own_in_hand || !loan || !large_loan) return 5;
    link.tell(1);
    for (;;) pause();
  });
  Agent agent = attach("survivor");
  auto subscriber = must(agent.subscriber("kill.out"));
  auto publisher = must(agent.publisher("kill.in"));
  ASSERT_TRUE(child.link().hear());
  for (uint64_t i = 0; i < 10; ++i) ASSERT_EQ(send_number(publisher, i).receiver_count, 2u);
  child.link().tell(1);
  ASSERT_TRUE(child.link().hear());
  EXPECT_EQ(chunks_in_use(), 10u + 5u + 2u);
  EXPECT_EQ(child.kill(), 128 + SIGKILL);
  std::optional<Agent> again;
  EXPECT_TRUE(wait_until([&] {
    auto attached = Agent::attach({.name = "victim"});
    if (attached) again = std::move(*attached);
    return again.has_value();
  }));
  EXPECT_EQ(send_number(publisher, 1).outcome, SendOutcome::NoReceiver);
  EXPECT_EQ(take_numbers(subscriber), count_from(0, 5));  // What it had sent is sent.
  EXPECT_TRUE(all_chunks_free()) << chunks_in_use();
}

TEST_F(Messaging, ABlockedPublisherGoesOnWhenItsFullReceiverIsKilled) {
  Child child([](const Link& link) {
    Agent agent = attach("victim");
    auto subscriber = must(agent.subscriber("kill.full"));
    link.tell(1);
    for (;;) pause();
    return 0;
  });
  Agent agent = attach("survivor");
  auto publisher = must(agent.publisher("kill.full"));
  ASSERT_TRUE(child.link().hear());
  while (send_number(publisher, 0, no_waiting())) {
  }
  std::thread killer([&] {
    std::this_thread::sleep_for(200ms);
    ::kill(child.pid(), SIGKILL);
  });
  SendOptions options;
  options.timeout = 20s;
  const auto begin = std::chrono::steady_clock::now();
  const Sent sent = send_number(publisher, 1, options);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s) << "it waited for a dead receiver";
  EXPECT_EQ(sent.receiver_count, 0u);
  EXPECT_TRUE(sent.outcome == SendOutcome::Gone || sent.outcome == SendOutcome::NoReceiver) << to_string(sent.outcome);
  killer.join();
}

class SupervisorKilled : public OnRealFabric {};

TEST_F(SupervisorKilled, ThoseWhoAreAttachedGoOnWithoutIt) {
  Child child([](const Link& link) {
    Agent agent = attach("echo", Wait::Sleep);
    auto subscriber = must(agent.subscriber("dead.ping"));
    auto publisher = must(agent.publisher("dead.pong"));
    link.tell(1);
    if (!link.hear()) return 2;
    for (int i = 0; i < 1000; ++i) {
      auto message = subscriber.take(10s);
      if (!message || !send_number(publisher, number_of(message->bytes()) + 1)) return 3;
    }
    return link.hear() ? 0 : 4;
  });
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("dead.ping"));
  auto subscriber = must(agent.subscriber("dead.pong"));
  ASSERT_TRUE(child.link().hear());
  fabric()->kill_supervisor();
  std::this_thread::sleep_for(50ms);
  child.link().tell(1);
  for (uint64_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(send_number(publisher, 10 * i)) << i;
    auto message = subscriber.take(10s);
    ASSERT_TRUE(message) << i << ": " << to_string(message.outcome());
    ASSERT_EQ(number_of(message->bytes()), 10 * i + 1);
  }
  // A topic that somebody has named needs no supervisor, a new one does.
  EXPECT_TRUE(agent.publisher("dead.pong"));
  const auto fresh = agent.publisher("dead.never.named");
  ASSERT_FALSE(fresh);
  EXPECT_EQ(fresh.error().code, Errc::FabricGone);
  EXPECT_NE(fresh.error().what.find("keeper"), std::string::npos) << to_string(fresh.error());
  expect_full_text(fresh.error());
  const auto late = Agent::attach({.name = "late"});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::NoSupervisor);
  expect_full_text(late.error());
  child.link().tell(1);
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace ripstop::test
