// Method: a lane is filled to its end under every policy; what comes out again is counted.
#include "real_fabric.h"

namespace ripstop::test {
namespace {

TEST_F(Messaging, AFullLaneHoldsABlockedPublisherForItsTimeAndLosesNothing) {
  Agent agent = attach("one");
  Agent other = attach("two");
  auto publisher = must(agent.publisher("full.block"));
  auto subscriber = must(other.subscriber("full.block"));
  uint64_t count = 0;
  while (send_number(publisher, count, no_waiting())) ASSERT_LT(++count, 1000u);
  EXPECT_GE(count, 100u);
  SendOptions options;
  options.timeout = 100ms;
  const auto begin = std::chrono::steady_clock::now();
  const Sent sent = send_number(publisher, 9999, options);
  const auto waited = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(sent.outcome, SendOutcome::Full);
  EXPECT_EQ(sent.full_count, 1u);
  EXPECT_EQ(sent.receiver_count, 0u);
  EXPECT_EQ(sent.sequence, 0u);
  testing::internal::CaptureStderr();
  EXPECT_EQ(explain(sent), 1);
  const std::string explained = testing::internal::GetCapturedStderr();
  EXPECT_NE(explained.find("0 reached, 1 full"), std::string::npos) << explained;
  EXPECT_NE(explained.find("SendOptions::timeout"), std::string::npos) << explained;
  EXPECT_GE(waited, 99ms);
  EXPECT_LT(waited, 3s);
  SendOptions urgent = no_waiting();
  urgent.priority = Priority::Critical;  // Another lane.
  EXPECT_TRUE(send_number(publisher, 7777, urgent));
  auto numbers = take_numbers(subscriber);
  ASSERT_EQ(numbers.size(), count + 1);
  EXPECT_EQ(numbers.front(), 7777u);
  numbers.erase(numbers.begin());
  EXPECT_EQ(numbers, count_from(0, count));
  EXPECT_EQ(subscriber.lost_count(), 0u);
  EXPECT_TRUE(send_number(publisher, 1, no_waiting()));
}

TEST_F(Messaging, ABlockedPublisherIsWokenWhenItsReceiverTakes) {
  Child child([](const Link& link) {
    Agent agent = attach("blocked");
    auto publisher = must(agent.publisher("full.wake"));
    if (!link.hear()) return 2;
    uint64_t count = 0;
    while (send_number(publisher, count, no_waiting())) ++count;
    link.tell(count);
    SendOptions options;
    options.timeout = 30s;
    const auto begin = std::chrono::steady_clock::now();
    if (!send_number(publisher, count, options)) return 3;
    // It did wait, and was woken rather than left to a timeout.
    const auto waited = std::chrono::steady_clock::now() - begin;
    return waited > 50ms && waited < 5s ? 0 : 4;
  });
  Agent agent = attach("receiver");
  auto subscriber = must(agent.subscriber("full.wake"));
  child.link().tell(1);
  const auto count = child.link().hear();
  ASSERT_TRUE(count);
  std::this_thread::sleep_for(200ms);  // Long enough that it sleeps.
  auto message = subscriber.take();
  ASSERT_TRUE(message);
  EXPECT_EQ(number_of(message->bytes()), 0u);
  message->release();
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(take_numbers(subscriber), count_from(1, *count));
}

TEST_F(Messaging, FailTellsThePublisherAtOnceAndTheOthersGetTheMessage) {
  Agent agent = attach("one");
  Agent other = attach("two");
  auto publisher = must(agent.publisher("full.fail"));
  SubscriberOptions options;
  options.overflow = Overflow::Fail;
  options.slot_count = 16;
  auto fails = must(other.subscriber("full.fail", options));
  auto blocks = must(agent.subscriber("full.fail"));
  for (uint64_t i = 0; i < 16; ++i) ASSERT_EQ(send_number(publisher, i).outcome, SendOutcome::Delivered);
  const auto begin = std::chrono::steady_clock::now();
  const Sent sent = send_number(publisher, 16);  // With the default timeout of 5 s, which is not for it.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  EXPECT_EQ(sent.outcome, SendOutcome::Partial);
  EXPECT_EQ(sent.receiver_count, 1u);
  EXPECT_EQ(sent.full_count, 1u);
  EXPECT_EQ(take_numbers(fails), count_from(0, 16));
  EXPECT_EQ(take_numbers(blocks), count_from(0, 17));
  EXPECT_EQ(fails.dropped_count(), 0u);
}

TEST_F(Messaging, DropNewestKeepsTheFirstAndCountsTheRest) {
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("full.newest"));
  SubscriberOptions options;
  options.overflow = Overflow::DropNewest;
  options.slot_count = 16;
  auto subscriber = must(agent.subscriber("full.newest", options));
  for (uint64_t i = 0; i < 100; ++i) {
    const Sent sent = send_number(publisher, i);
    EXPECT_EQ(sent.outcome, i < 16 ? SendOutcome::Delivered : SendOutcome::Full);
    EXPECT_EQ(sent.full_count, i < 16 ? 0u : 1u);
  }
  EXPECT_EQ(subscriber.dropped_count(), 84u);
  EXPECT_EQ(take_numbers(subscriber), count_from(0, 16));
}

TEST_F(Messaging, DropOldestKeepsTheNewestInOrderAndCountsExactly) {
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("full.oldest"));
  SubscriberOptions options;
  options.overflow = Overflow::DropOldest;
  options.slot_count = 16;
  auto subscriber = must(agent.subscriber("full.oldest", options));
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_EQ(send_number(publisher, i).outcome, SendOutcome::Delivered) << i;
  EXPECT_EQ(subscriber.dropped_count(), 984u);
  EXPECT_LE(chunks_in_use(), 16u);
  EXPECT_EQ(take_numbers(subscriber), count_from(984, 16));
}

TEST_F(Messaging, ASleepingReceiverFindsWhatDropOldestKeptHoweverMuchWasDropped) {
  Agent agent = attach("one", Wait::Sleep);
  auto publisher = must(agent.publisher("full.behind"));
  SubscriberOptions options;
  options.overflow = Overflow::DropOldest;
  options.slot_count = 16;
  auto subscriber = must(agent.subscriber("full.behind", options));
  for (uint64_t i = 0; i < 10'000; ++i) ASSERT_TRUE(send_number(publisher, i));
  const auto begin = std::chrono::steady_clock::now();
  auto message = subscriber.take(500ms);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 400ms) << "it slept beside 16 messages";
  ASSERT_TRUE(message) << to_string(message.outcome());
  EXPECT_EQ(number_of(message->bytes()), 9984u);
}

TEST_F(Messaging, DropOldestWithAWatchingReceiverLosesNothingButWhatItCounts) {
  // A taker and an evicting publisher meet at the same slots.
  constexpr uint64_t kCount = 50'000;
  Child child([](const Link& link) {
    Agent agent = attach("evictor");
    auto publisher = must(agent.publisher("full.race"));
    if (!link.hear()) return 2;
    for (uint64_t i = 0; i < kCount; ++i) {
      if (!send_number(publisher, i)) return 3;
    }
    link.tell(1);
    return link.hear() ? 0 : 4;
  });
  Agent agent = attach("receiver");
  SubscriberOptions options;
  options.overflow = Overflow::DropOldest;
  options.slot_count = 16;
  auto subscriber = must(agent.subscriber("full.race", options));
  child.link().tell(1);
  uint64_t taken = 0, next = 0;
  bool ordered = true;
  while (auto message = subscriber.take(1s)) {
    const uint64_t number = number_of(message->bytes());
    ordered = ordered && number >= next && number < kCount;
    next = number + 1;
    ++taken;
    if (number == kCount - 1) break;
  }
  EXPECT_TRUE(child.link().hear());
  EXPECT_TRUE(ordered);
  EXPECT_EQ(next, kCount);
  EXPECT_EQ(taken + subscriber.dropped_count(), kCount);
  child.link().tell(1);
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace ripstop::test
