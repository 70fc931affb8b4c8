// Method: a process that is called "worker" is killed with messages in lane and hand. Another of its name comes
// in time, or nobody does.
#include <algorithm>

#include "real_fabric.h"

namespace ripstop::test {
namespace {

class Successor : public OnRealFabric {
 protected:
  static void SetUpTestSuite() { fabric() = RealFabric::start(trouble(), "dead_letter", 2s); }

  // Takes `count` messages, releases all but the last and waits for its end.
  static int work(const Link& link, const char* topic, uint64_t count) {
    Agent self = attach("worker");
    auto subscriber = must(self.subscriber(topic));
    link.tell(1);
    for (uint64_t i = 1; i <= count; ++i) {
      auto message = subscriber.take(20s);
      if (!message || number_of(message->bytes()) != i) return 2;
      if (i < count) continue;
      link.tell(2);
      (void)link.hear();
    }
    return 0;
  }

  struct Got {
    std::vector<uint64_t> numbers;
    std::vector<unsigned> attempts;
  };
  static Got take_all(Subscriber<Bytes>& subscriber) {
    Got got;
    while (auto message = subscriber.take()) {
      got.numbers.push_back(number_of(message->bytes()));
      got.attempts.push_back(message->info().attempt);
    }
    return got;
  }
  static std::vector<LetterView> letters_of(const std::string& topic, bool waiting) {
    std::vector<LetterView> found;
    for (const LetterView& letter : must(Inspector::open()).letters()) {
      if (letter.topic == topic && letter.waits == waiting) found.push_back(letter);
    }
    return found;
  }
};

// With the message that it had in hand, without those that it had released. Few go through the inbox, many
// through a direct lane.
TEST_F(Successor, GetsWhatTheDeadOneHadNotHandledInOrder) {
  for (const uint64_t handled_count : {uint64_t{2}, uint64_t{2'000}}) {
    const std::string topic = "successor.task" + std::to_string(handled_count);
    Child worker([&](const Link& link) { return work(link, topic.c_str(), handled_count); });
    ASSERT_EQ(worker.link().hear(), 1u);
    Agent agent = attach("boss");
    auto publisher = must(agent.publisher(topic));
    for (uint64_t i = 1; i <= handled_count + 4; ++i) ASSERT_TRUE(send_number(publisher, i, {.timeout = 10s}));
    ASSERT_EQ(worker.link().hear(), 2u);
    worker.kill();
    Agent heir = attach("worker");
    auto subscriber = must(heir.subscriber(topic));
    ASSERT_TRUE(send_number(publisher, handled_count + 5));
    const Got got = take_all(subscriber);
    EXPECT_EQ(got.numbers, count_from(handled_count, 6));
    EXPECT_EQ(got.attempts, (std::vector<unsigned>{1, 1, 1, 1, 1, 0}));
    EXPECT_TRUE(letters_of(topic, false).empty() && letters_of(topic, true).empty());
  }
}

TEST_F(Successor, OfAnAgentThatListenedToAPatternGetsWhatThePatternNames) {
  Child worker([&](const Link& link) { return work(link, "successor.pattern.*", 2); });
  ASSERT_EQ(worker.link().hear(), 1u);
  Agent agent = attach("boss");
  auto one = must(agent.publisher("successor.pattern.one"));
  auto two = must(agent.publisher("successor.pattern.two"));
  for (uint64_t i = 1; i <= 2; ++i) ASSERT_TRUE(send_number(one, i));
  for (uint64_t i = 3; i <= 4; ++i) ASSERT_TRUE(send_number(two, i));
  ASSERT_EQ(worker.link().hear(), 2u);
  worker.kill();
  Agent heir = attach("worker");
  auto elsewhere = must(heir.subscriber("other.**"));
  EXPECT_FALSE(elsewhere.take()) << "it names none of them";
  auto subscriber = must(heir.subscriber("successor.*.**"));
  Got got = take_all(subscriber);
  std::sort(got.numbers.begin(), got.numbers.end());  // Two topics: no order between them.
  EXPECT_EQ(got.numbers, count_from(2, 3));
  EXPECT_EQ(got.attempts, (std::vector<unsigned>{1, 1, 1}));
  EXPECT_TRUE(letters_of("successor.pattern.one", true).empty() && letters_of("successor.pattern.two", true).empty());
}

TEST_F(Successor, ComesAfterTheSupervisorWasKilledToo) {
  const std::string topic = "successor.restart";
  Child worker([&](const Link& link) { return work(link, topic.c_str(), 2); });
  ASSERT_EQ(worker.link().hear(), 1u);
  Agent agent = attach("boss");
  auto publisher = must(agent.publisher(topic));
  for (uint64_t i = 1; i <= 4; ++i) ASSERT_TRUE(send_number(publisher, i));
  ASSERT_EQ(worker.link().hear(), 2u);
  fabric()->kill_supervisor_alone();
  worker.kill();
  ASSERT_TRUE(fabric()->restart());
  Agent heir = attach("worker");
  auto subscriber = must(heir.subscriber(topic));
  EXPECT_EQ(take_all(subscriber).numbers, count_from(2, 3));
}

TEST_F(Successor, ThatDoesNotComeLeavesDeadLetters) {
  const std::string topic = "successor.none";
  Child worker([&](const Link& link) { return work(link, topic.c_str(), 1); });
  ASSERT_EQ(worker.link().hear(), 1u);
  Agent agent = attach("boss");
  auto publisher = must(agent.publisher(topic));
  for (uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(send_number(publisher, i));
  ASSERT_EQ(worker.link().hear(), 2u);
  worker.kill();
  ASSERT_TRUE(wait_until([&] { return letters_of(topic, true).size() == 3; }, 1s)) << "they wait";
  ASSERT_TRUE(wait_until([&] { return letters_of(topic, false).size() == 3; })) << "and become dead letters";
  const std::vector<LetterView> letters = letters_of(topic, false);
  for (uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(letters[i].sequence, i + 1);
    EXPECT_EQ(letters[i].agent, "worker");
    EXPECT_EQ(letters[i].reason, "died");
  }
  Agent late = attach("worker");
  auto subscriber = must(late.subscriber(topic));
  EXPECT_FALSE(subscriber.take());
}

TEST_F(Successor, OfAPublisherGoesOnWithItsSequence) {
  for (const bool dies : {true, false}) {
    const std::string topic = dies ? "successor.sequence" : "successor.sequence.detached";
    Child first([&](const Link& link) {
      Agent self = attach("speaker");
      auto own = must(self.subscriber(topic));
      auto publisher = must(self.publisher(topic));
      for (uint64_t i = 1; i <= 7; ++i) {
        if (!send_number(publisher, i)) return 2;
        (void)own.take();
      }
      link.tell(publisher.sequence());
      if (dies) (void)link.hear();
      return 0;
    });
    ASSERT_EQ(first.link().hear(), 7u);
    EXPECT_EQ(dies ? first.kill() - 128 - SIGKILL : first.wait(), 0);
    Agent second = attach("speaker");
    auto publisher = must(second.publisher(topic));
    EXPECT_EQ(publisher.sequence(), 7u);
    auto subscriber = must(second.subscriber(topic));
    ASSERT_TRUE(send_number(publisher, 8));
    EXPECT_EQ(subscriber.take()->info().sequence, 8u);
  }
}

}  // namespace
}  // namespace ripstop::test
