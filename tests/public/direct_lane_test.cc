// Method: a publisher and receivers that keep up, until the publisher has opened a direct lane, which the
// Inspector shows; then whatever may happen to either of them, with every message accounted for.
#include <algorithm>
#include <atomic>
#include <map>

#include "real_fabric.h"

namespace ripstop::test {
namespace {

// Direct lanes that end at the agent.
std::size_t direct_lanes(const std::string& agent) {
  const auto inspector = Inspector::open();
  if (!inspector) return ~std::size_t{0};
  const auto view = inspector->agent(agent);
  if (!view) return ~std::size_t{0};
  return static_cast<std::size_t>(std::count_if(view->lanes.begin(), view->lanes.end(), [](const LaneView& lane) {
    return lane.label.starts_with("direct ");
  }));
}

// More than a publisher sends before it opens a direct lane.
constexpr uint64_t kHot = 400;

class DirectLanes : public Messaging {};

// Sends `number`, `number` + 1, ... one at a time, each taken at once. Returns the next number.
uint64_t warm_up(Publisher<Bytes>& publisher, std::vector<Subscriber<Bytes>*> subscribers, uint64_t number = 1,
                 uint64_t count = kHot) {
  for (const uint64_t end = number + count; number < end; ++number) {
    EXPECT_TRUE(send_number(publisher, number));
    for (Subscriber<Bytes>* subscriber : subscribers) {
      auto message = subscriber->take();
      EXPECT_TRUE(message) << number;
      EXPECT_EQ(message ? number_of(message->bytes()) : 0, number);
    }
  }
  return number;
}

// NAME-sender and NAME-receiver with a direct lane on direct.NAME; `next` is the number to send next.
struct HotPair {
  explicit HotPair(const std::string& name)
      : sender(attach(name + "-sender")),
        receiver(attach(name + "-receiver")),
        subscriber(must(receiver.subscriber("direct." + name))),
        publisher(must(sender.publisher("direct." + name))),
        next(warm_up(publisher, {&subscriber})) {
    EXPECT_EQ(direct_lanes(name + "-receiver"), 1u);
  }
  Agent sender;
  Agent receiver;
  Subscriber<Bytes> subscriber;
  Publisher<Bytes> publisher;
  uint64_t next;
};

TEST_F(DirectLanes, AHotPairGetsOneAndItEndsWithThePublisher) {
  Agent sender = attach("hot-sender");
  Agent receiver = attach("hot-receiver");
  auto subscriber = must(receiver.subscriber("direct.pair"));
  {
    auto publisher = must(sender.publisher("direct.pair"));
    EXPECT_EQ(direct_lanes("hot-receiver"), 0u);
    warm_up(publisher, {&subscriber});
    EXPECT_EQ(direct_lanes("hot-receiver"), 1u);
  }
  EXPECT_FALSE(subscriber.take());
  EXPECT_EQ(direct_lanes("hot-receiver"), 0u);
  EXPECT_EQ(subscriber.lost_count(), 0u);
  EXPECT_EQ(subscriber.duplicate_count(), 0u);
}

TEST_F(DirectLanes, AReceiverThatTakesNothingGetsNone) {
  Agent sender = attach("cold-sender");
  Agent receiver = attach("cold-receiver");
  auto subscriber = must(receiver.subscriber("direct.cold"));
  auto publisher = must(sender.publisher("direct.cold"));
  uint64_t sent = 0;
  while (send_number(publisher, sent + 1, no_waiting())) ++sent;
  EXPECT_EQ(direct_lanes("cold-receiver"), 0u);
  EXPECT_EQ(take_numbers(subscriber), count_from(1, sent));
}

// The order holds whichever way each message goes: what is too large for the lane, or comes when it is
// full or its next chunk is held, goes through the inbox.
TEST_F(DirectLanes, OrderHoldsOverBothWays) {
  HotPair pair("order");
  auto& [sender, receiver, subscriber, publisher, next] = pair;
  unsigned random = 7;
  std::vector<Message<Bytes>> kept;
  for (int round = 0; round < 300; ++round) {
    random = random * 1103515245 + 12345;
    const uint64_t count = 1 + (random >> 16) % 60;
    const uint64_t first = next;
    for (uint64_t i = 0; i < count; ++i, ++next) {
      random = random * 1103515245 + 12345;
      const std::size_t size = (random >> 20) % 3 == 0 ? 3000 : 8;
      auto loan = must(publisher.loan(size));
      std::memcpy(loan.bytes().data(), &next, 8);
      SendOptions options = no_waiting();
      ASSERT_TRUE(loan.send(options)) << round;
    }
    for (uint64_t i = 0; i < count; ++i) {
      auto message = subscriber.take();
      ASSERT_TRUE(message) << round << ": " << first + i << " of " << first << " to " << next;
      uint64_t number = 0;
      std::memcpy(&number, message->bytes().data(), 8);
      ASSERT_EQ(number, first + i) << round;
      if (kept.size() < 20 && i % 7 == 3) kept.push_back(std::move(*message));  // The lane comes round to it again.
    }
    if (round % 10 == 9) kept.clear();
    ASSERT_FALSE(subscriber.take());
  }
  EXPECT_EQ(subscriber.lost_count(), 0u);
  EXPECT_EQ(subscriber.duplicate_count(), 0u);
}

// The inbox's lane is full when a direct message is committed, and messages in hand must make way while
// what was sent before it is taken: it still comes last.
TEST_F(DirectLanes, AFullInboxGoesFirstThoughMessagesInHandMakeWay) {
  Agent sender = attach("full-sender");
  Agent receiver = attach("full-receiver");
  auto subscriber = must(receiver.subscriber("direct.behind"));
  auto publisher = must(sender.publisher("direct.behind"));
  const uint64_t first = warm_up(publisher, {&subscriber});
  ASSERT_EQ(direct_lanes("full-receiver"), 1u);
  uint64_t next = first;
  for (;; ++next) {
    auto loan = must(publisher.loan(3000));  // Too large for the direct lane.
    std::memcpy(loan.bytes().data(), &next, 8);
    if (!loan.send(no_waiting())) break;
  }
  ASSERT_GE(next - first, 64u);
  ASSERT_TRUE(send_number(publisher, next++, no_waiting()));
  std::vector<Message<Bytes>> kept;
  for (uint64_t expected = first; expected < next; ++expected) {
    auto message = subscriber.take();
    ASSERT_TRUE(message) << expected;
    uint64_t number = 0;
    std::memcpy(&number, message->bytes().data(), 8);
    ASSERT_EQ(number, expected) << "of " << first << " to " << next;
    if (kept.size() < 5) kept.push_back(std::move(*message));
  }
  EXPECT_EQ(subscriber.lost_count(), 0u);
}

TEST_F(DirectLanes, LoansMayBeSentOutOfTheirOrderOrDropped) {
  HotPair pair("loan");
  auto& [sender, receiver, subscriber, publisher, next] = pair;
  const auto loan_of = [&](uint64_t number) {
    auto loan = must(publisher.loan(8));
    std::memcpy(loan.bytes().data(), &number, 8);
    return loan;
  };
  for (int round = 0; round < 200; ++round) {
    std::optional<Loan<Bytes>> first = loan_of(next);
    auto second = loan_of(next + 1);
    { auto dropped = loan_of(0); }
    ASSERT_TRUE(second.send());
    if (round % 3 != 0) {
      ASSERT_TRUE(first->send());
    } else {
      first.reset();
    }
    const std::vector<uint64_t> expected = round % 3 != 0 ? std::vector<uint64_t>{next + 1, next} : std::vector<uint64_t>{next + 1};
    ASSERT_EQ(take_numbers(subscriber), expected) << round;
  }
}

TEST_F(DirectLanes, SeveralReceiversShareOneAndComeAndGo) {
  Agent sender = attach("share-sender");
  Agent one = attach("share-one");
  Agent two = attach("share-two");
  Agent three = attach("share-three");
  auto publisher = must(sender.publisher("direct.share"));
  auto first = must(one.subscriber("direct.share"));
  uint64_t next = warm_up(publisher, {&first});
  EXPECT_EQ(direct_lanes("share-one"), 1u);
  {
    auto second = must(two.subscriber("direct.share"));
    auto third = must(three.subscriber("direct.share"));
    next = warm_up(publisher, {&first, &second, &third}, next);
    EXPECT_EQ(direct_lanes("share-one"), 1u);
    EXPECT_EQ(direct_lanes("share-two"), 1u);
    EXPECT_EQ(direct_lanes("share-three"), 1u);
    // Two of them leave with mail in the lane.
    for (uint64_t end = next + 10; next < end; ++next) EXPECT_EQ(send_number(publisher, next).receiver_count, 3u);
  }
  EXPECT_EQ(take_numbers(first), count_from(next - 10, 10));
  for (uint64_t end = next + 10; next < end; ++next) EXPECT_EQ(send_number(publisher, next).receiver_count, 1u);
  EXPECT_EQ(take_numbers(first), count_from(next - 10, 10));
  EXPECT_FALSE(two.next(0ns));  // What came for a subscription that has ended is released.
  EXPECT_FALSE(three.next(0ns));
}

// Two lanes of one publisher bear the same marks: the second may not come to lie where an idle receiver
// has not drained the first.
TEST_F(DirectLanes, AReceiverThatLeftWithoutALookTakesNothingFromTheNextLane) {
  Agent sender = attach("marks-sender");
  Agent stays = attach("marks-stays");
  auto publisher = must(sender.publisher("direct.marks"));
  uint64_t next = 1;
  for (int round = 0; round < 3; ++round) {
    std::optional<Agent> leaves = attach("marks-leaves");
    std::optional<Subscriber<Bytes>> first = must(leaves->subscriber("direct.marks"));
    auto second = must(stays.subscriber("direct.marks"));
    next = warm_up(publisher, {&*first, &second}, next);
    ASSERT_EQ(direct_lanes("marks-leaves"), 1u);
    first.reset();
    next = warm_up(publisher, {&second}, next);
    ASSERT_EQ(direct_lanes("marks-stays"), 1u);
    for (const uint64_t end = next + 10; next < end; ++next) ASSERT_TRUE(send_number(publisher, next));
    if (round == 0) {
      EXPECT_FALSE(leaves->next(0ns));
    } else {
      leaves.reset();
    }
    EXPECT_EQ(take_numbers(second), count_from(next - 10, 10));
    EXPECT_EQ(second.lost_count(), 0u);
  }
}

// What a receiver has in its hands stays, though its subscription ends around the send.
TEST_F(DirectLanes, AMessageInHandOutlivesItsSubscription) {
  Agent sender = attach("hand-sender");
  Agent receiver = attach("hand-receiver");
  Agent other = attach("hand-other");
  auto publisher = must(sender.publisher("direct.hand"));
  auto stays = must(other.subscriber("direct.hand"));
  std::optional<Subscriber<Bytes>> subscriber = must(receiver.subscriber("direct.hand"));
  uint64_t next = warm_up(publisher, {&*subscriber, &stays});
  ASSERT_EQ(direct_lanes("hand-receiver"), 1u);
  ASSERT_TRUE(send_number(publisher, next));
  auto in_hand = subscriber->take();
  ASSERT_TRUE(in_hand);
  ASSERT_TRUE(stays.take());
  subscriber.reset();
  next = warm_up(publisher, {&stays}, next + 1);
  EXPECT_EQ(number_of(in_hand->bytes()), next - kHot - 1);
}

TEST_F(DirectLanes, EachPriorityHasItsOwnOrder) {
  Agent sender = attach("orders-sender");
  Agent other = attach("orders-other");
  Agent receiver = attach("orders-receiver");
  auto subscriber = must(receiver.subscriber("direct.orders"));
  auto publisher = must(sender.publisher("direct.orders"));
  auto critical_publisher = must(other.publisher("direct.orders"));
  SendOptions critical;
  critical.priority = Priority::Critical;
  for (uint64_t i = 0; i < kHot; ++i) {
    ASSERT_TRUE(send_number(critical_publisher, i, critical));
    ASSERT_TRUE(subscriber.take());
  }
  const uint64_t next = warm_up(publisher, {&subscriber});
  ASSERT_EQ(direct_lanes("orders-receiver"), 2u);
  auto large = must(publisher.loan(3000));
  const uint64_t second = next + 1;
  std::memcpy(large.bytes().data(), &second, sizeof second);
  ASSERT_TRUE(large.send());
  ASSERT_TRUE(send_number(publisher, next, critical));
  ASSERT_TRUE(send_number(publisher, next + 2));
  for (uint64_t number = next; number < next + 3; ++number) {
    auto message = subscriber.take();
    ASSERT_TRUE(message);
    uint64_t got = 0;
    std::memcpy(&got, message->bytes().data(), sizeof got);
    EXPECT_EQ(got, number);
  }
}

TEST_F(DirectLanes, ManyPublishersHaveThemAtOneReceiverAndTheRestGoTheOtherWay) {
  Agent receiver = attach("many-receiver");
  auto subscriber = must(receiver.subscriber("direct.many"));
  std::vector<Agent> agents;
  std::vector<Publisher<Bytes>> publishers;
  for (int i = 0; i < 11; ++i) {
    agents.push_back(attach("many-" + std::to_string(i)));
    publishers.push_back(must(agents.back().publisher("direct.many")));
  }
  for (auto& publisher : publishers) warm_up(publisher, {&subscriber});
  EXPECT_EQ(direct_lanes("many-receiver"), 8u);
  std::map<uint32_t, std::vector<uint64_t>> got;
  for (uint64_t number = 0; number < 8; ++number) {
    for (auto& publisher : publishers) ASSERT_TRUE(send_number(publisher, number));
  }
  while (auto message = subscriber.take()) got[message->info().source_id].push_back(number_of(message->bytes()));
  EXPECT_EQ(got.size(), publishers.size());
  for (const auto& [source, numbers] : got) EXPECT_EQ(numbers, count_from(0, 8)) << source;
  EXPECT_EQ(subscriber.lost_count(), 0u);
}

TEST_F(DirectLanes, ABusyOneLeavesOthersTheirTurn) {
  Agent sender = attach("busy-sender");
  Agent other = attach("busy-other");
  Agent receiver = attach("busy-receiver");
  auto subscriber = must(receiver.subscriber("direct.busy"));
  auto busy = must(sender.publisher("direct.busy"));
  auto rare = must(other.publisher("direct.busy"));
  uint64_t next = warm_up(busy, {&subscriber});
  ASSERT_EQ(direct_lanes("busy-receiver"), 1u);
  ASSERT_TRUE(send_number(rare, 1'000'000));
  for (uint64_t end = next + 60; next < end; ++next) ASSERT_TRUE(send_number(busy, next));
  const std::vector<uint64_t> numbers = take_numbers(subscriber);
  const auto at = std::find(numbers.begin(), numbers.end(), 1'000'000u) - numbers.begin();
  EXPECT_LT(at, 40);
  EXPECT_EQ(numbers.size(), 61u);
}

TEST_F(DirectLanes, APriorityOvertakesIt) {
  HotPair pair("prio");
  auto& [sender, receiver, subscriber, publisher, next] = pair;
  SendOptions critical;
  critical.priority = Priority::Critical;
  SendOptions background;
  background.priority = Priority::Background;
  ASSERT_TRUE(send_number(publisher, next + 2, background));
  ASSERT_TRUE(send_number(publisher, next + 1));
  ASSERT_TRUE(send_number(publisher, next, critical));
  EXPECT_EQ(take_numbers(subscriber), count_from(next, 3));
}

// The publisher is killed with messages in the lane: they arrive, in order, and its memory comes back.
TEST_F(DirectLanes, WhatAKilledPublisherSentArrives) {
  for (int round = 0; round < 10; ++round) {
    const std::string topic = "direct.killed" + std::to_string(round);
    Child child([&](const Link& link) {
      alarm(20);
      Agent agent = attach("killed-sender");
      auto publisher = must(agent.publisher(topic));
      if (!link.hear()) return 2;
      for (uint64_t number = 1;; ++number) {
        if (!send_number(publisher, number)) return 3;
      }
    });
    Agent receiver = attach("killed-receiver", Wait::Spin);
    auto subscriber = must(receiver.subscriber(topic));
    child.link().tell(1);
    uint64_t last = 0;
    const uint64_t enough = 3000 + static_cast<uint64_t>(round) * 777;
    while (last < enough) {
      auto message = subscriber.take(10s);
      ASSERT_TRUE(message);
      ASSERT_EQ(number_of(message->bytes()), last + 1);
      ++last;
    }
    child.kill();
    while (auto message = subscriber.take(200ms)) ASSERT_EQ(number_of(message->bytes()), ++last);
    EXPECT_EQ(subscriber.lost_count(), 0u);
    EXPECT_EQ(subscriber.duplicate_count(), 0u);
    EXPECT_EQ(direct_lanes("killed-receiver"), 0u);
  }
}

// A receiver is killed with messages in the lane and in its hands: the publisher goes on at once, the
// others lose nothing, and all memory comes back.
TEST_F(DirectLanes, AKilledReceiverLeavesNothingBehind) {
  for (int round = 0; round < 10; ++round) {
    const std::string topic = "direct.widow" + std::to_string(round);
    Child child([&](const Link& link) {
      alarm(20);
      Agent agent = attach("killed-receiver", Wait::Spin);
      auto subscriber = must(agent.subscriber(topic));
      link.tell(1);
      std::vector<Message<Bytes>> kept;
      for (uint64_t count = 0;; ++count) {
        auto message = subscriber.take(10s);
        if (!message) return 2;
        if (count > 500 && kept.size() < 10) kept.push_back(std::move(*message));
        if (count == 1000) link.tell(2);
      }
    });
    Agent sender = attach("widow-sender");
    Agent other = attach("widow-other", Wait::Spin);
    auto publisher = must(sender.publisher(topic));
    auto subscriber = must(other.subscriber(topic));
    ASSERT_TRUE(child.link().hear());
    std::atomic<bool> killed{false};
    std::thread killer([&] {
      (void)child.link().hear();
      child.kill();
      killed = true;
    });
    uint64_t number = 0;
    uint64_t after = 0;
    while (after < 1000 && number < 50'000'000) {
      // The dead one's lane may be full until it is settled.
      const Sent sent = send_number(publisher, ++number);
      ASSERT_GE(sent.receiver_count, 1u) << to_string(sent.outcome);
      auto message = subscriber.take();
      ASSERT_TRUE(message);
      ASSERT_EQ(number_of(message->bytes()), number);
      if (killed && publisher.receiver_count() == 1) ++after;
    }
    killer.join();
    EXPECT_EQ(after, 1000u);
    EXPECT_EQ(subscriber.lost_count(), 0u);
  }
}

// A receiver that sleeps is woken through the lane: arm, fence, look.
TEST_F(DirectLanes, ASleeperIsWoken) {
  Child child([&](const Link& link) {
    alarm(60);
    Agent agent = attach("wake-echo", Wait::Sleep);
    auto subscriber = must(agent.subscriber("direct.wake"));
    auto publisher = must(agent.publisher("direct.woken"));
    link.tell(1);
    for (;;) {
      auto message = subscriber.take(30s);
      if (!message) return 2;
      const uint64_t number = number_of(message->bytes());
      if (!send_number(publisher, number)) return 3;
      if (number == 0) return 0;
    }
  });
  Agent agent = attach("wake-caller", Wait::Spin);
  auto publisher = must(agent.publisher("direct.wake"));
  auto subscriber = must(agent.subscriber("direct.woken"));
  ASSERT_TRUE(child.link().hear());
  // Without pauses until there is a lane, then at a pace at which the other one falls asleep now and then.
  for (uint64_t number = 1; number <= 20'000; ++number) {
    ASSERT_TRUE(send_number(publisher, number));
    auto message = subscriber.take(10s);
    ASSERT_TRUE(message) << number;
    ASSERT_EQ(number_of(message->bytes()), number);
    if (number > 10'000 && number % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(number % 100));
  }
  ASSERT_TRUE(send_number(publisher, 0));
  ASSERT_TRUE(subscriber.take(10s));
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(DirectLanes, FdTellsOfThem) {
  HotPair pair("fd");
  auto& [sender, receiver, subscriber, publisher, next] = pair;
  const int fd = must(receiver.fd());
  for (int round = 0; round < 200; ++round, ++next) {
    if (round % 3 == 0) std::this_thread::sleep_for(1ms);
    ASSERT_TRUE(send_number(publisher, next));
    pollfd descriptor{fd, POLLIN, 0};
    ASSERT_EQ(poll(&descriptor, 1, 5000), 1) << round;
    receiver.clear_fd();
    ASSERT_EQ(take_numbers(subscriber), count_from(next, 1));
  }
}

// The supervisor dies; the lane goes on without it.
TEST_F(DirectLanes, TheSupervisorsDeathDoesNotTouchThem) {
  HotPair pair("alone");
  auto& [sender, receiver, subscriber, publisher, next] = pair;
  fabric()->kill_supervisor();
  warm_up(publisher, {&subscriber}, next, 1000);
  fabric().reset();
  trouble() = "the suite's supervisor was killed by its last test";
}

}  // namespace
}  // namespace ripstop::test
