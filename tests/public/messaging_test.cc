// Method: a real ripstopd for the suite, agents as a user attaches them. Where two processes matter the
// other one is forked before this one attaches. Every test ends with all chunks free again.
#include <algorithm>
#include <array>
#include <atomic>

#include "real_fabric.h"

namespace ripstop::test {
namespace {

TEST_F(Messaging, BytesOfEverySizeCrossBetweenTwoProcessesUnchanged) {
  const std::vector<std::size_t> sizes = {0, 1, 63, 64, 255, 256, 257, 4096, 4097, 65536, 65537, 2u << 20};
  Child child([&](const Link& link) {
    Agent agent = attach("sender");
    auto publisher = must(agent.publisher("bytes.across"));
    if (!link.hear()) return 2;
    for (const std::size_t size : sizes) {
      auto loan = publisher.loan(size);
      if (!loan || loan->bytes().size() != size || loan->capacity() < size) return 3;
      const auto bytes = pattern(size, static_cast<unsigned>(size));
      std::copy(bytes.begin(), bytes.end(), loan->bytes().begin());
      if (!loan->send()) return 4;
    }
    return link.hear() ? 0 : 5;
  });
  Agent agent = attach("receiver");
  auto subscriber = must(agent.subscriber("bytes.across"));
  child.link().tell(1);
  uint64_t sequence = 0;
  for (const std::size_t size : sizes) {
    auto message = subscriber.take(10s);
    ASSERT_TRUE(message) << size << ": " << to_string(message.outcome());
    EXPECT_TRUE(std::ranges::equal(message->bytes(), pattern(size, static_cast<unsigned>(size)))) << size;
    EXPECT_EQ(message->info().sequence, ++sequence);
    EXPECT_EQ(message->topic(), "bytes.across");
  }
  child.link().tell(1);
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(subscriber.lost_count(), 0u);
  EXPECT_EQ(subscriber.duplicate_count(), 0u);
}

TEST_F(Messaging, WhatASenderSaysOfAMessageArrivesWithIt) {
  Agent agent = attach("one");
  Agent other = attach("two");
  auto publisher = must(agent.publisher("info.all"));
  auto subscriber = must(other.subscriber("info.all"));
  SendOptions options;
  options.priority = Priority::High;
  options.deadline_ns = now_ns() + 60'000'000'000;
  options.correlation = 0x1122334455667788;
  for (uint8_t i = 0; i < 16; ++i) options.trace.trace_id[i] = static_cast<uint8_t>(i + 1);
  for (uint8_t i = 0; i < 8; ++i) options.trace.span_id[i] = static_cast<uint8_t>(0xf0 + i);
  options.trace.sampled = true;
  options.content_type = ContentType::Json;
  options.schema_id = 0xabcdef01;
  const uint64_t before = now_ns();
  ASSERT_TRUE(must(publisher.send_copy("{}", SendOptions{})));
  const Sent sent = must(publisher.send_copy("{\"a\":1}", options));
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent.sequence, 2u);
  EXPECT_EQ(publisher.sequence(), 2u);
  auto message = subscriber.take();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->text(), "{\"a\":1}");
  const MessageInfo info = message->info();
  EXPECT_EQ(info.sequence, 2u);
  EXPECT_EQ(info.deadline_ns, options.deadline_ns);
  EXPECT_EQ(info.correlation, options.correlation);
  EXPECT_EQ(info.trace.trace_id, options.trace.trace_id);
  EXPECT_EQ(info.trace.span_id, options.trace.span_id);
  EXPECT_TRUE(info.trace.sampled);
  EXPECT_EQ(info.content_type, ContentType::Json);
  EXPECT_EQ(info.schema_id, options.schema_id);
  EXPECT_EQ(info.priority, Priority::High);
  EXPECT_EQ(info.topic_id, publisher.topic_id());
  EXPECT_EQ(info.source_id, agent.id());
  EXPECT_EQ(info.payload_bytes, 7u);
  EXPECT_EQ(info.attempt, 0u);
  EXPECT_GE(info.publish_time_ns + 1'000'000, before);
  EXPECT_LE(info.publish_time_ns, now_ns() + 1'000'000);
}

TEST_F(Messaging, EveryReceiverOfAFanOutGetsTheSameBytes) {
  // Agents with an inbox and rings of their own, mixed: beyond one holder word there are branches.
  for (const std::size_t count : {3u, 20u, 100u, 200u}) {
    SCOPED_TRACE(count);
    Agent sender = attach("sender");
    auto publisher = must(sender.publisher("fan.out"));
    std::vector<Agent> agents;
    std::vector<Subscriber<Bytes>> subscribers;
    for (std::size_t i = 0; i < count; ++i) {
      if (i % 2 == 0) agents.push_back(attach("receiver" + std::to_string(i)));
      SubscriberOptions options;
      options.own_ring = i % 2 != 0;
      options.slot_count = 16;
      subscribers.push_back(must(agents.back().subscriber("fan.out", options)));
    }
    EXPECT_EQ(publisher.receiver_count(), count);
    const auto bytes = pattern(200, static_cast<unsigned>(count));
    for (int round = 0; round < 5; ++round) {
      const Sent sent = must(publisher.send_copy(bytes, no_waiting()));
      EXPECT_EQ(sent.outcome, SendOutcome::Delivered);
      EXPECT_EQ(sent.receiver_count, count);
    }
    EXPECT_GT(chunks_in_use(), 4u);
    for (auto& subscriber : subscribers) {
      for (uint64_t round = 1; round <= 5; ++round) {
        auto message = subscriber.take();
        ASSERT_TRUE(message) << to_string(message.outcome());
        EXPECT_TRUE(std::ranges::equal(message->bytes(), bytes));
        EXPECT_EQ(message->info().sequence, round);
      }
      EXPECT_EQ(subscriber.take().outcome(), TakeOutcome::Empty);
    }
    EXPECT_TRUE(all_chunks_free()) << chunks_in_use();
  }
}

TEST_F(Messaging, APublishersMessagesArriveInOrderAndTheUrgentOvertake) {
  Agent agent = attach("one");
  Agent other = attach("two");
  auto first = must(agent.publisher("order.topic"));
  auto second = must(agent.publisher("order.topic"));
  auto subscriber = must(other.subscriber("order.topic"));
  for (uint64_t i = 0; i < 30; ++i) {
    ASSERT_TRUE(send_number(first, i));
    ASSERT_TRUE(send_number(second, 1000 + i));
  }
  for (const Priority priority :
       {Priority::Background, Priority::Low, Priority::Critical, Priority::High, Priority::Critical}) {
    SendOptions options;
    options.priority = priority;
    ASSERT_TRUE(send_number(first, 5000 + static_cast<uint64_t>(priority), options));
  }
  const auto numbers = take_numbers(subscriber);
  ASSERT_EQ(numbers.size(), 65u);
  EXPECT_EQ(std::vector(numbers.begin(), numbers.begin() + 3), (std::vector<uint64_t>{5000, 5000, 5001}));
  EXPECT_EQ(std::vector(numbers.end() - 2, numbers.end()), (std::vector<uint64_t>{5003, 5004}));
  std::vector<uint64_t> of_first, of_second;
  for (const uint64_t number : numbers) {
    if (number < 5000) (number < 1000 ? of_first : of_second).push_back(number);
  }
  EXPECT_EQ(of_first, count_from(0, 30));
  EXPECT_EQ(of_second, count_from(1000, 30));
  EXPECT_EQ(subscriber.lost_count(), 0u);
}

TEST_F(Messaging, OneLanesUrgentMessageOvertakesThroughNextToo) {
  Agent agent = attach("one");
  auto slow = must(agent.publisher("next.slow"));
  auto fast = must(agent.publisher("next.fast", {.priority = Priority::Critical}));
  auto slow_subscriber = must(agent.subscriber("next.slow"));
  auto fast_subscriber = must(agent.subscriber("next.fast"));
  ASSERT_TRUE(must(slow.send_copy("slow")));
  ASSERT_TRUE(must(fast.send_copy("fast")));  // By its publisher's own priority.
  auto message = agent.next(1s);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->text(), "fast");
  EXPECT_EQ(message->topic(), "next.fast");
  EXPECT_EQ(message->info().priority, Priority::Critical);
  message = agent.next(1s);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->text(), "slow");
  EXPECT_EQ(agent.next(1ms).outcome(), TakeOutcome::Empty);
}

TEST_F(Messaging, ALateSubscriberGetsOnlyWhatComesLater) {
  Agent agent = attach("one");
  Agent early = attach("early");
  Agent late = attach("late");
  auto publisher = must(agent.publisher("late.topic"));  // Before anybody subscribes.
  EXPECT_EQ(publisher.receiver_count(), 0u);
  EXPECT_EQ(send_number(publisher, 0).outcome, SendOutcome::NoReceiver);
  std::optional<Subscriber<Bytes>> first(must(early.subscriber("late.topic")));
  EXPECT_EQ(send_number(publisher, 1).receiver_count, 1u);
  std::optional<Subscriber<Bytes>> second(must(late.subscriber("late.topic")));
  EXPECT_EQ(send_number(publisher, 2).receiver_count, 2u);
  EXPECT_EQ(take_numbers(*first), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(take_numbers(*second), (std::vector<uint64_t>{2}));
  EXPECT_EQ(second->lost_count(), 0u);  // What was before it is no loss.

  EXPECT_EQ(send_number(publisher, 3).receiver_count, 2u);
  first.reset();  // Leaves with a message in its lane.
  EXPECT_EQ(send_number(publisher, 4).receiver_count, 1u);
  EXPECT_EQ(take_numbers(*second), (std::vector<uint64_t>{3, 4}));
  second.reset();
  const Sent sent = send_number(publisher, 5);
  EXPECT_EQ(sent.outcome, SendOutcome::NoReceiver);
  EXPECT_EQ(sent.receiver_count, 0u);
  EXPECT_EQ(sent.sequence, 0u);
  EXPECT_EQ(publisher.receiver_count(), 0u);
  EXPECT_EQ(early.next(1ms).outcome(), TakeOutcome::Empty);  // What its old subscription left is let go.
}

TEST_F(Messaging, AMessageInHandStaysWhileTheLaneWrapsManyTimes) {
  Agent agent = attach("one");
  Agent other = attach("two");
  auto publisher = must(agent.publisher("hold.wrap"));
  auto subscriber = must(other.subscriber("hold.wrap"));
  ASSERT_TRUE(send_number(publisher, 42));
  auto kept = subscriber.take();
  ASSERT_TRUE(kept);
  for (uint64_t i = 0; i < 2000; ++i) {
    ASSERT_TRUE(send_number(publisher, 1000 + i, no_waiting())) << i;
    auto message = subscriber.take();
    ASSERT_TRUE(message) << i << ": " << to_string(message.outcome());
    ASSERT_EQ(number_of(message->bytes()), 1000 + i);
  }
  EXPECT_EQ(number_of(kept->bytes()), 42u);
  EXPECT_EQ(kept->info().sequence, 1u);
  EXPECT_EQ(chunks_in_use(), 1u);
  kept->release();
  EXPECT_EQ(chunks_in_use(), 0u);
}

TEST_F(Messaging, WhoHoldsTooManyMessagesIsToldAndGoesOnWhenItReleases) {
  Agent agent = attach("one");
  Agent other = attach("two");
  auto publisher = must(agent.publisher("hold.full"));
  auto subscriber = must(other.subscriber("hold.full"));
  std::vector<Message<Bytes>> kept;
  uint64_t sent_count = 0;
  TakeOutcome outcome = TakeOutcome::Ok;
  while (outcome == TakeOutcome::Ok) {
    ASSERT_LT(kept.size(), 1000u) << "it holds without end";
    // Full here, once everything is in hand, is allowed; what was sent is still there below.
    if (send_number(publisher, sent_count, no_waiting())) ++sent_count;
    auto message = subscriber.take();
    outcome = message.outcome();
    if (message) kept.push_back(std::move(*message));
  }
  EXPECT_EQ(outcome, TakeOutcome::HeldFull);
  EXPECT_GE(kept.size(), 64u);
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(number_of(kept[i].bytes()), i);
  const uint64_t held_count = kept.size();
  kept.erase(kept.begin(), kept.begin() + 10);
  const auto numbers = take_numbers(subscriber);
  EXPECT_EQ(numbers, count_from(held_count, sent_count - held_count));
  EXPECT_TRUE(send_number(publisher, 1, no_waiting()));
  EXPECT_EQ(take_numbers(subscriber).size(), 1u);
  kept.clear();
}

TEST_F(Messaging, ALoanThatIsDroppedIsNeverSeen) {
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("loan.drop"));
  auto subscriber = must(agent.subscriber("loan.drop"));
  {
    auto loan = publisher.loan(100);
    ASSERT_TRUE(loan);
    std::memset(loan->bytes().data(), 0xee, 100);
    EXPECT_EQ(chunks_in_use(), 1u);
  }
  EXPECT_EQ(chunks_in_use(), 0u);
  EXPECT_EQ(subscriber.take().outcome(), TakeOutcome::Empty);
  auto loan = publisher.loan(100);
  ASSERT_TRUE(loan);
  EXPECT_FALSE(loan->resize(loan->capacity() + 1));
  EXPECT_EQ(loan->bytes().size(), 100u);
  EXPECT_TRUE(loan->resize(loan->capacity()));
  EXPECT_TRUE(loan->resize(3));
  std::memcpy(loan->bytes().data(), "abc", 3);
  EXPECT_EQ(loan->send().sequence, 1u);                       // The dropped one took no number.
  EXPECT_EQ(loan->send().outcome, SendOutcome::Detached);     // It is over.
  auto message = subscriber.take();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->text(), "abc");
}

TEST_F(Messaging, APayloadAboveTheLargestClassIsRefusedByName) {
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("large.topic"));
  EXPECT_EQ(agent.payload_bytes_max(), 2u << 20);
  const auto loan = publisher.loan((2u << 20) + 1);
  ASSERT_FALSE(loan);
  EXPECT_EQ(loan.error().code, Errc::TooLarge);
  EXPECT_NE(loan.error().what.find("2097152"), std::string::npos) << loan.error().what;
  EXPECT_NE(loan.error().what.find("2097153"), std::string::npos) << loan.error().what;
  expect_full_text(loan.error());
  EXPECT_EQ(publisher.loan(~std::size_t{0}).error().code, Errc::TooLarge);
  EXPECT_EQ(publisher.loan(std::size_t{1} << 32).error().code, Errc::TooLarge);
  const auto batch = publisher.loan_batch(2, 3u << 20);
  ASSERT_FALSE(batch);
  EXPECT_EQ(batch.error().code, Errc::TooLarge);
}

TEST_F(Messaging, AnEmptyPoolNamesItsClassAndWorksAgainAfterARelease) {
  Agent agent = attach("one");
  Agent other = attach("two");
  auto publisher = must(agent.publisher("pool.empty"));
  auto subscriber = must(other.subscriber("pool.empty"));
  constexpr std::size_t kBytes = 2u << 20;
  std::vector<Message<Bytes>> kept;
  for (uint64_t round = 0; round < 3; ++round) {
    for (;;) {
      auto loan = publisher.loan(kBytes);
      if (!loan) {
        EXPECT_EQ(loan.error().code, Errc::PoolEmpty);
        EXPECT_NE(loan.error().what.find("2097152"), std::string::npos) << loan.error().what;
        EXPECT_NE(loan.error().why.find("agent one"), std::string::npos) << loan.error().why;
        expect_full_text(loan.error());
        break;
      }
      ASSERT_LT(kept.size(), 100u);
      const uint64_t number = kept.size();
      std::memcpy(loan->bytes().data(), &number, sizeof number);
      ASSERT_TRUE(loan->send());
      auto message = subscriber.take();
      ASSERT_TRUE(message);
      kept.push_back(std::move(*message));
    }
    EXPECT_GE(kept.size(), 8u);
    for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(number_of(kept[i].bytes().first(8)), i);
    EXPECT_EQ(publisher.loan_batch(2, kBytes).error().code, Errc::PoolEmpty);
    kept.pop_back();
    EXPECT_EQ(publisher.loan_batch(2, kBytes).error().code, Errc::PoolEmpty);  // All or none ...
    {
      auto loan = publisher.loan(kBytes);  // ... so the one is still there.
      EXPECT_TRUE(loan);
    }
    auto copy = must(publisher.send_copy("small ones are not in the way"));
    EXPECT_TRUE(copy);
    EXPECT_TRUE(subscriber.take());
    kept.clear();
  }
}

TEST_F(Messaging, ThreadsWithPublishersOfOneAgentLoseAndRepeatNothing) {
  constexpr std::size_t kThreads = 4;
  constexpr uint64_t kCount = 5000;
  Agent agent = attach("one");
  Agent other = attach("two");
  auto subscriber = must(other.subscriber("threads.one"));
  std::vector<Publisher<Bytes>> publishers;
  for (std::size_t i = 0; i < kThreads; ++i) publishers.push_back(must(agent.publisher("threads.one")));
  std::atomic<uint64_t> refused = 0;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      SendOptions options;
      options.timeout = 30s;
      for (uint64_t n = 0; n < kCount; ++n) {
        if (!send_number(publishers[i], i << 32 | n, options)) ++refused;
      }
    });
  }
  std::array<uint64_t, kThreads> next{};
  uint64_t wrong = 0;
  for (uint64_t taken = 0; taken < kThreads * kCount; ++taken) {
    auto message = subscriber.take(20s);
    if (!message) {
      ADD_FAILURE() << "after " << taken << ": " << to_string(message.outcome());
      break;
    }
    const uint64_t number = number_of(message->bytes());
    if ((number >> 32) >= kThreads || next[number >> 32]++ != (number & 0xffffffff)) ++wrong;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(refused, 0u);
  for (const uint64_t count : next) EXPECT_EQ(count, kCount);
  EXPECT_EQ(subscriber.take().outcome(), TakeOutcome::Empty);
  EXPECT_EQ(subscriber.lost_count(), 0u);
  EXPECT_EQ(subscriber.duplicate_count(), 0u);
}

TEST_F(Messaging, AgentsInThreadsOfTheirOwnAllHearAllOthers) {
  constexpr std::size_t kThreads = 4;
  constexpr uint64_t kCount = 1000;
  std::atomic<std::size_t> subscribed = 0;
  std::atomic<uint64_t> received = 0, refused = 0, disorder = 0;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      Agent agent = attach("thread" + std::to_string(i));
      auto publisher = must(agent.publisher("threads.all"));
      // A ring that holds everything: nobody waits for another who waits.
      auto subscriber = must(agent.subscriber("threads.all", {.own_ring = true, .slot_count = kThreads * kCount}));
      for (++subscribed; subscribed < kThreads;) std::this_thread::yield();
      std::array<uint64_t, kThreads> next{};
      for (uint64_t n = 0; n < kCount; ++n) {
        const Sent sent = send_number(publisher, i << 32 | n);
        if (sent.receiver_count != kThreads) ++refused;
      }
      for (uint64_t taken = 0; taken < kThreads * kCount; ++taken) {
        auto message = subscriber.take(20s);
        if (!message) return;
        const uint64_t number = number_of(message->bytes());
        if ((number >> 32) >= kThreads || next[number >> 32]++ != (number & 0xffffffff)) ++disorder;
        ++received;
      }
      if (subscriber.take()) ++disorder;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 0u);
  EXPECT_EQ(disorder, 0u);
  EXPECT_EQ(received, kThreads * kThreads * kCount);
}

TEST_F(Messaging, ABatchIsSentAndTakenInOrder) {
  Agent agent = attach("one");
  Agent other = attach("two");
  auto publisher = must(agent.publisher("batch.topic"));
  auto subscriber = must(other.subscriber("batch.topic"));
  auto loans = must(publisher.loan_batch(20, 8));
  ASSERT_EQ(loans.size(), 20u);
  for (uint64_t i = 0; i < 20; ++i) std::memcpy(loans[i].bytes().data(), &i, sizeof i);
  const auto sent = publisher.send_batch(loans, {});
  ASSERT_EQ(sent.size(), 20u);
  for (uint64_t i = 0; i < 20; ++i) {
    EXPECT_EQ(sent[i].outcome, SendOutcome::Delivered);
    EXPECT_EQ(sent[i].sequence, i + 1);
  }
  std::vector<Message<Bytes>> messages;
  EXPECT_EQ(subscriber.take_batch(messages, 7), 7u);
  EXPECT_EQ(subscriber.take_batch(messages, 100), 13u);
  EXPECT_EQ(subscriber.take_batch(messages, 100), 0u);
  ASSERT_EQ(messages.size(), 20u);
  for (uint64_t i = 0; i < 20; ++i) EXPECT_EQ(number_of(messages[i].bytes()), i);
  std::swap(messages[3], messages[17]);
  EXPECT_EQ(number_of(messages[3].bytes()), 17u);
  messages.clear();
  EXPECT_EQ(chunks_in_use(), 0u);
}

TEST_F(Messaging, ABatchWakesASleepingReceiverThatGetsAllOfIt) {
  Child child([](const Link& link) {
    Agent agent = attach("sleeper", Wait::Sleep);
    auto subscriber = must(agent.subscriber("batch.wake"));
    link.tell(1);
    for (uint64_t i = 0; i < 10; ++i) {
      auto message = subscriber.take(10s);
      if (!message || number_of(message->bytes()) != i) return 3;
    }
    return 0;
  });
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("batch.wake"));
  ASSERT_TRUE(child.link().hear());
  std::this_thread::sleep_for(100ms);
  auto loans = must(publisher.loan_batch(10, 8));
  for (uint64_t i = 0; i < 10; ++i) std::memcpy(loans[i].bytes().data(), &i, sizeof i);
  const auto begin = std::chrono::steady_clock::now();
  (void)publisher.send_batch(loans, {});
  EXPECT_EQ(child.wait(), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST_F(Messaging, AMessageAfterItsDeadlineIsNotSent) {
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("deadline.topic"));
  auto subscriber = must(agent.subscriber("deadline.topic"));
  SendOptions options;
  options.deadline_ns = now_ns() - 1'000'000;
  const Sent sent = send_number(publisher, 1, options);
  EXPECT_EQ(sent.outcome, SendOutcome::Expired);
  EXPECT_EQ(sent.receiver_count, 0u);
  EXPECT_EQ(subscriber.take().outcome(), TakeOutcome::Empty);
  EXPECT_EQ(send_number(publisher, 2).sequence, 1u);
  EXPECT_EQ(take_numbers(subscriber), (std::vector<uint64_t>{2}));
}

TEST_F(Messaging, ADescriptorPollsReadableWhenAMessageComes) {
  Child child([](const Link& link) {
    Agent agent = attach("one");
    auto publisher = must(agent.publisher("fd.topic"));
    uint64_t number = 0;
    while (const auto word = link.hear()) {
      for (uint64_t i = 0; i < *word; ++i) {
        if (!send_number(publisher, number++)) return 3;
      }
      if (*word == 0) return 0;
    }
    return 4;
  });
  Agent agent = attach("receiver");
  auto subscriber = must(agent.subscriber("fd.topic"));
  const auto readable = [fd = must(agent.fd())](int timeout_ms) {
    pollfd descriptor{fd, POLLIN, 0};
    return poll(&descriptor, 1, timeout_ms) == 1;
  };
  EXPECT_EQ(must(agent.fd()), must(agent.fd()));
  EXPECT_FALSE(readable(50));
  uint64_t next = 0;
  for (int round = 0; round < 20; ++round) {
    child.link().tell(3);
    for (uint64_t taken = 0; taken < 3;) {
      ASSERT_TRUE(readable(5000)) << "round " << round << ", " << taken << " taken";
      for (;;) {
        auto message = subscriber.take();
        if (!message) break;
        EXPECT_EQ(number_of(message->bytes()), next++);
        ++taken;
      }
      agent.clear_fd();
    }
    EXPECT_FALSE(readable(20)) << round;
  }
  child.link().tell(1);
  EXPECT_TRUE(subscriber.take(5s));  // Waiting without poll goes on beside it.
  child.link().tell(0);
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(Messaging, WhatCannotBeNamedIsRefusedWithTheReason) {
  Agent agent = attach("one");
  const std::string long_token(300, 'a');
  std::string many_tokens = "a";
  for (int i = 0; i < 16; ++i) many_tokens += ".a";
  for (const std::string& topic : {std::string(), std::string("a..b"), std::string(".a"), std::string("a."),
                                   std::string("a b"), std::string("a.b*"), std::string("a/b"), std::string("\xc3\xa4"),
                                   std::string("a\0b", 3), long_token, many_tokens}) {
    SCOPED_TRACE(topic);
    const auto publisher = agent.publisher(topic);
    ASSERT_FALSE(publisher);
    EXPECT_EQ(publisher.error().code, Errc::BadTopic);
    expect_full_text(publisher.error());
    const auto subscriber = agent.subscriber(topic);
    ASSERT_FALSE(subscriber);
    EXPECT_EQ(subscriber.error().code, Errc::BadTopic);
    EXPECT_EQ(check_topic(topic).error().code, Errc::BadTopic);
  }
  EXPECT_TRUE(agent.publisher(std::string(255, 'a')));
  EXPECT_TRUE(check_topic(many_tokens.substr(2)));
  for (const std::string& name : {std::string(), std::string("a b"), std::string("a/b"), std::string(65, 'a')}) {
    SCOPED_TRACE(name);
    AgentOptions options;
    options.name = name;
    const auto other = Agent::attach(options);
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Errc::BadName);
    expect_full_text(other.error());
    EXPECT_EQ(agent.channel_sender(name).error().code, Errc::BadName);
    EXPECT_EQ(check_name(name).error().code, Errc::BadName);
    if (name.empty()) continue;
    options.name = "two";
    options.fabric = name;
    const auto elsewhere = Agent::attach(options);
    ASSERT_FALSE(elsewhere);
    EXPECT_EQ(elsewhere.error().code, Errc::BadName);
  }
  EXPECT_TRUE(check_name(std::string(64, 'a')));
}

TEST_F(Messaging, ANameIsTakenOnceAndTheErrorNamesTheHoldersPid) {
  Child child([](const Link& link) {
    Agent agent = attach("planner");
    link.tell(1);
    (void)link.hear();
    return 0;
  });
  ASSERT_TRUE(child.link().hear());
  const auto second = Agent::attach({.name = "planner"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::NameTaken);
  const std::string all = to_string(second.error());
  EXPECT_NE(all.find("pid " + std::to_string(child.pid())), std::string::npos) << all;
  expect_full_text(second.error());
  EXPECT_EQ(exit_status(second.error().code), 1);
  child.link().tell(1);
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(wait_until([] { return Agent::attach({.name = "planner"}).has_value(); }));
}

TEST_F(Messaging, WithoutASupervisorAttachSaysHowToStartOne) {
  const auto agent = Agent::attach({.name = "one", .fabric = "nobody-serves-this"});
  ASSERT_FALSE(agent);
  EXPECT_EQ(agent.error().code, Errc::NoSupervisor);
  expect_full_text(agent.error());
  EXPECT_NE(agent.error().fix.find("ripstopd"), std::string::npos) << agent.error().fix;
  EXPECT_NE(agent.error().what.find("nobody-serves-this"), std::string::npos) << agent.error().what;
  EXPECT_EQ(exit_status(agent.error().code), 5);
}

TEST_F(Messaging, ADetachedAgentsCallsSaySo) {
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("detach.topic"));
  auto subscriber = must(agent.subscriber("detach.topic"));
  auto loan = must(publisher.loan(8));
  ASSERT_TRUE(send_number(publisher, 1));
  auto message = subscriber.take();
  ASSERT_TRUE(message);
  ASSERT_TRUE(send_number(publisher, 2));
  ASSERT_TRUE(agent.detach());
  EXPECT_EQ(loan.send().outcome, SendOutcome::Detached);
  EXPECT_FALSE(publisher.loan(8));
  EXPECT_EQ(subscriber.take().outcome(), TakeOutcome::Detached);
  EXPECT_EQ(agent.next(1s).outcome(), TakeOutcome::Detached);
  EXPECT_FALSE(agent.publisher("detach.other"));
  message->release();
  EXPECT_TRUE(agent.detach());
  EXPECT_TRUE(all_chunks_free());
  EXPECT_TRUE(Agent::attach({.name = "one"}));
}

}  // namespace
}  // namespace ripstop::test
