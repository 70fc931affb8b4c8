// Method: a real ripstopd, agents as a user attaches them, subscriptions to patterns.
#include <algorithm>
#include <atomic>
#include <thread>

#include "real_fabric.h"

namespace ripstop::test {
namespace {

using Patterns = OnRealFabric;

TEST_F(Patterns, AMessageOfEachTopicThatAPatternNamesArrivesAndSaysItsTopic) {
  Agent agent = attach("sender");
  Agent other = attach("receiver");
  auto plans = must(other.subscriber("pat.*.plan"));
  EXPECT_EQ(plans.topic(), "pat.*.plan");
  auto first = must(agent.publisher("pat.solver.plan"));
  auto second = must(agent.publisher("pat.planner.plan"));
  auto elsewhere = must(agent.publisher("pat.planner.task"));
  EXPECT_EQ(first.receiver_count(), 1u);
  ASSERT_TRUE(send_number(first, 1));
  ASSERT_TRUE(send_number(second, 2));
  EXPECT_EQ(must(elsewhere.send_copy("x")).outcome, SendOutcome::NoReceiver);
  for (const char* topic : {"pat.solver.plan", "pat.planner.plan"}) {
    auto message = plans.take(10s);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->topic(), topic);
    EXPECT_EQ(other.topic_name(message->info().topic_id), topic);
  }
  EXPECT_EQ(plans.lost_count(), 0u);
  EXPECT_FALSE(plans.take());
}

TEST_F(Patterns, AnInboxGetsAMessageOnceAndTheNearestSubscriptionHasIt) {
  Agent agent = attach("sender");
  Agent other = attach("receiver");
  auto publisher = must(agent.publisher("near.a.b"));
  const auto send = [&] {
    const Sent sent = must(publisher.send_copy("x"));
    return sent.outcome == SendOutcome::Delivered ? sent.receiver_count : 0;
  };
  auto all = must(other.subscriber("near.**"));  // The oldest pattern.
  auto some = must(other.subscriber("near.*.b"));
  EXPECT_EQ(send(), 1u);
  EXPECT_FALSE(some.take());
  EXPECT_TRUE(all.take(10s));
  {
    auto exact = must(other.subscriber("near.a.b"));
    EXPECT_EQ(send(), 1u);
    EXPECT_FALSE(all.take());
    EXPECT_TRUE(exact.take(10s));
  }
  EXPECT_EQ(send(), 1u);
  EXPECT_TRUE(all.take(10s)) << "it has the topic back";
  EXPECT_EQ(all.lost_count(), 0u) << "what the other one got is no loss";
  {
    const auto ends = std::move(all);
  }
  EXPECT_EQ(send(), 1u);
  EXPECT_TRUE(some.take(10s));
  // A ring of its own has everything besides.
  auto own = must(other.subscriber("near.#", {.own_ring = true}));
  EXPECT_EQ(own.topic(), "near.**");
  EXPECT_EQ(send(), 2u);
  EXPECT_TRUE(some.take(10s));
  EXPECT_TRUE(own.take(10s));
  EXPECT_FALSE(own.take());
}

TEST_F(Patterns, AnyMessageOfTheAgentIsFoundByNext) {
  Agent agent = attach("sender");
  Agent other = attach("receiver");
  auto all = must(other.subscriber("next.**"));
  auto publisher = must(agent.publisher("next.a"));
  ASSERT_TRUE(send_number(publisher, 7));
  auto message = other.next(10s);
  ASSERT_TRUE(message);
  EXPECT_EQ(number_of(message->bytes()), 7u);
}

TEST_F(Patterns, TheOverflowPoliciesHoldForPatternsToo) {
  Agent agent = attach("sender");
  Agent other = attach("receiver");
  auto newest = must(other.subscriber("over.*", {.overflow = Overflow::DropOldest, .slot_count = 4}));
  auto oldest = must(other.subscriber("over.**", {.overflow = Overflow::DropNewest, .slot_count = 4}));
  auto a = must(agent.publisher("over.a"));
  auto b = must(agent.publisher("over.b"));
  for (uint64_t i = 0; i < 10; ++i) (void)send_number(i % 2 == 0 ? a : b, i);
  std::vector<uint64_t> kept;
  while (auto message = newest.take()) kept.push_back(number_of(message->bytes()));
  EXPECT_EQ(kept, (std::vector<uint64_t>{6, 7, 8, 9}));
  kept.clear();
  while (auto message = oldest.take()) kept.push_back(number_of(message->bytes()));
  EXPECT_EQ(kept, (std::vector<uint64_t>{0, 1, 2, 3}));
  EXPECT_EQ(newest.dropped_count(), 6u);
  EXPECT_EQ(oldest.dropped_count(), 6u);
}

TEST_F(Patterns, ABadPatternIsRefusedAndPublishersNameOneTopic) {
  Agent agent = attach("one");
  for (const char* pattern : {"a.**.b", "a*", "", "a..*"}) {
    auto refused = agent.subscriber(pattern);
    ASSERT_FALSE(refused) << pattern;
    EXPECT_EQ(refused.error().code, Errc::BadTopic);
    EXPECT_FALSE(check_pattern(pattern));
  }
  EXPECT_EQ(agent.publisher("a.*").error().code, Errc::BadTopic);
  EXPECT_TRUE(check_pattern("a.#"));
  EXPECT_TRUE(pattern_matches("a.#", "a"));
}

TEST_F(Patterns, ASubscriptionThatHasReturnedIsHonouredByEverySendThatBeginsAfterwards) {
  // Several threads publish all the time; another one subscribes, tells them, and has all that they sent since.
  constexpr int kPublishers = 2;
  constexpr int kRounds = 150;
  constexpr uint64_t kEach = 20;
  Agent other = attach("receiver");
  std::vector<Agent> agents;
  for (int i = 0; i < kPublishers; ++i) agents.push_back(attach("sender" + std::to_string(i)));
  std::atomic<int> round{0};
  std::atomic<int> finished{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kPublishers; ++i) {
    threads.emplace_back([&, i] {
      auto publisher = must(agents[static_cast<std::size_t>(i)].publisher("race." + std::to_string(i) + ".x"));
      for (int seen = 0;;) {
        const int now = round.load();  // Whoever sees it has heard of the subscription.
        if (now < 0) return;
        if (now == seen) {
          (void)publisher.send_copy("before", no_waiting());  // Reaches the last subscriber, or nobody.
          std::this_thread::yield();
          continue;
        }
        seen = now;
        for (uint64_t k = 0; k < kEach; ++k) {
          EXPECT_EQ(must(publisher.send_copy("after " + std::to_string(now), SendOptions{})).receiver_count, 1u) << now;
        }
        ++finished;
      }
    });
  }
  const char* const patterns[] = {"race.*.x", "race.**", "**", "*.*.x", "race.*.**"};
  for (int i = 1; i <= kRounds; ++i) {
    auto subscriber = must(other.subscriber(patterns[i % 5]));
    finished = 0;
    round = i;
    uint64_t got = 0;
    const std::string wanted = "after " + std::to_string(i);
    while (got < kPublishers * kEach) {
      auto message = subscriber.take(10s);
      ASSERT_TRUE(message) << "round " << i << ", " << got << " came";
      got += message->text() == wanted ? 1 : 0;
    }
    ASSERT_TRUE(wait_until([&] { return finished == kPublishers; }));
  }
  round = -1;
  for (std::thread& thread : threads) thread.join();
}

class PatternsRestarted : public OnRealFabric {
 protected:
  static void SetUpTestSuite() {}
  void SetUp() override {
    std::string trouble;
    fabric_ = RealFabric::start(trouble);
    if (fabric_ == nullptr && !trouble.empty()) GTEST_SKIP() << trouble;
    ASSERT_NE(fabric_, nullptr);
  }

  std::unique_ptr<RealFabric> fabric_;
};

TEST_F(PatternsRestarted, ATopicIsNamedWhenItsSupervisorIsBack) {
  Agent agent = attach("sender");
  Agent other = attach("receiver");
  auto known = must(agent.publisher("back.known"));
  fabric_->kill_supervisor_alone();
  // Opened without a supervisor: one for a topic that a pattern names, one for nobody.
  auto again = must(agent.publisher("back.known"));
  EXPECT_EQ(must(again.send_copy("x")).outcome, SendOutcome::NoReceiver);
  auto fresh = must(agent.publisher("back.fresh"));
  EXPECT_EQ(must(fresh.send_copy("x")).outcome, SendOutcome::NoReceiver) << "nobody can have subscribed to it";
  ASSERT_TRUE(fabric_->restart());
  auto subscriber = must(other.subscriber("back.*"));
  ASSERT_TRUE(wait_until([&] { return must(fresh.send_copy("now")).outcome == SendOutcome::Delivered; }));
  auto message = subscriber.take(10s);
  ASSERT_TRUE(message);
  EXPECT_EQ(message->topic(), "back.fresh");
  EXPECT_EQ(message->info().sequence, 1u);
  EXPECT_NE(fresh.topic_id(), ~0u);

  fabric_->kill_supervisor_alone();
  auto wanted = must(agent.publisher("back.wanted"));
  const Sent sent = must(wanted.send_copy("x"));
  EXPECT_EQ(sent.outcome, SendOutcome::Unnamed) << "its receiver could not be told the topic";
  EXPECT_EQ(sent.sequence, 0u);
  EXPECT_EQ(must(known.send_copy("on")).outcome, SendOutcome::Delivered) << "a known topic needs no supervisor";
  ASSERT_TRUE(fabric_->restart());
  ASSERT_TRUE(wait_until([&] { return must(wanted.send_copy("now")).outcome == SendOutcome::Delivered; }));
}

TEST_F(PatternsRestarted, APatternOutlivesItsSupervisor) {
  Agent agent = attach("sender");
  Agent other = attach("receiver");
  auto subscriber = must(other.subscriber("kept.*"));
  auto publisher = must(agent.publisher("kept.a"));
  ASSERT_TRUE(send_number(publisher, 1));
  fabric_->kill_supervisor_alone();
  ASSERT_TRUE(send_number(publisher, 2));
  ASSERT_TRUE(fabric_->restart());
  ASSERT_TRUE(send_number(publisher, 3));
  auto second = must(agent.publisher("kept.b"));
  ASSERT_TRUE(send_number(second, 4));
  for (uint64_t i = 1; i <= 4; ++i) {
    auto message = subscriber.take(10s);
    ASSERT_TRUE(message);
    EXPECT_EQ(number_of(message->bytes()), i);
  }
}

}  // namespace
}  // namespace ripstop::test
