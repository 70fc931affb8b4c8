// Method: the supervisor is killed and started again while real processes exchange messages. What agents
// do here, they do without knowing of it.
#include <atomic>

#include "real_fabric.h"

namespace ripstop::test {
namespace {

using Clock = std::chrono::steady_clock;

// What is promised is a second from the restart; a machine that is busy with other things gets some more.
constexpr auto kBackWithin = 3s;

class Restarted : public OnRealFabric {
 protected:
  static void SetUpTestSuite() {}
  void SetUp() override {
    std::string trouble;
    fabric_ = RealFabric::start(trouble);  // Each test has its own.
    if (fabric_ == nullptr && !trouble.empty()) GTEST_SKIP() << trouble;
    ASSERT_NE(fabric_, nullptr);
  }

  std::unique_ptr<RealFabric> fabric_;
};

// An agent that answers each number with the next one, until it is told to end.
int echo(const Link& link) {
  Agent agent = attach("echo", Wait::Sleep);
  auto subscriber = must(agent.subscriber("restart.ping"));
  auto publisher = must(agent.publisher("restart.pong"));
  link.tell(1);
  for (;;) {
    auto message = subscriber.take(30s);
    if (!message) return 2;
    const uint64_t number = number_of(message->bytes());
    if (number == 0) return 0;
    if (!send_number(publisher, number + 1)) return 3;
  }
}

TEST_F(Restarted, MessagesFlowThroughoutAndAgentsOpenNewThingsAfterwards) {
  Child echoing(echo);
  Child late([](const Link& link) {  // Makes its first control call after the restart.
    Agent agent = attach("late");
    link.tell(1);
    if (!link.hear()) return 2;
    auto subscriber = agent.subscriber("restart.fresh");
    if (!subscriber) return exit_code(subscriber.error());
    link.tell(1);
    auto message = subscriber->take(30s);
    return message && number_of(message->bytes()) == 4711 ? 0 : 3;
  });
  Agent agent = attach("one", Wait::Sleep);
  auto publisher = must(agent.publisher("restart.ping"));
  auto subscriber = must(agent.subscriber("restart.pong"));
  ASSERT_TRUE(echoing.link().hear());
  ASSERT_TRUE(late.link().hear());

  std::atomic<uint64_t> count{0};
  std::atomic<bool> ending{false};
  std::thread flow([&] {
    for (uint64_t i = 1; !ending; ++i) {
      ASSERT_TRUE(send_number(publisher, i));
      auto message = subscriber.take(30s);
      ASSERT_TRUE(message) << to_string(message.outcome());
      ASSERT_EQ(number_of(message->bytes()), i + 1);
      count = i;
    }
    ASSERT_TRUE(send_number(publisher, 0));
  });
  const auto flows = [&] {
    const uint64_t before = count;
    return wait_until([&] { return count > before + 100; });
  };
  EXPECT_TRUE(flows());
  fabric_->kill_supervisor_alone();
  EXPECT_TRUE(flows()) << "while there is no supervisor";
  ASSERT_TRUE(fabric_->restart());
  const auto restarted = Clock::now();
  EXPECT_TRUE(flows());

  auto fresh = agent.publisher("restart.fresh");
  ASSERT_TRUE(fresh) << to_string(fresh.error());
  EXPECT_LT(Clock::now() - restarted, kBackWithin);
  late.link().tell(1);
  ASSERT_TRUE(late.link().hear()) << "no new subscription";
  EXPECT_EQ(send_number(*fresh, 4711).receiver_count, 1u);
  EXPECT_EQ(late.wait(), 0);
  EXPECT_TRUE(Agent::attach({.name = "new"}));
  EXPECT_TRUE(flows());
  ending = true;
  flow.join();
  EXPECT_EQ(echoing.wait(), 0);
}

TEST_F(Restarted, ACallThatIsMadeDuringTheRestartSucceeds) {
  Agent agent = attach("one");
  for (int round = 0; round < 3; ++round) {
    fabric_->kill_supervisor_alone();
    std::optional<Subscriber<Bytes>> subscriber;
    std::thread asking([&] {
      // The machine may be busy: then the wait of one call is not enough, and the next one's is.
      EXPECT_TRUE(wait_until([&] {
        auto opened = agent.subscriber("restart.during." + std::to_string(round), {.own_ring = true});
        if (opened) subscriber = std::move(*opened);
        return opened.has_value();
      }));
    });
    EXPECT_TRUE(fabric_->restart());
    asking.join();
    auto publisher = must(agent.publisher("restart.during." + std::to_string(round)));
    EXPECT_EQ(send_number(publisher, 7).receiver_count, 1u);
    ASSERT_TRUE(subscriber.has_value());
    EXPECT_EQ(take_numbers(*subscriber), (std::vector<uint64_t>{7}));
  }
}

TEST_F(Restarted, WhoDiedMeanwhileIsSettledAndWhoDiesLaterIsNoticed) {
  const auto mortal = [](const char* name) {
    return [name](const Link& link) {
      Agent agent = attach(name);
      auto subscriber = must(agent.subscriber(std::string("restart.") + name));
      link.tell(1);
      if (!link.hear()) return 2;
      auto in_hand = subscriber.take();
      if (!in_hand) return 3;
      link.tell(1);
      for (;;) pause();
    };
  };
  Child meanwhile(mortal("meanwhile"));
  Child later(mortal("later"));
  Agent agent = attach("survivor");
  ASSERT_TRUE(meanwhile.link().hear());
  ASSERT_TRUE(later.link().hear());
  auto to_meanwhile = must(agent.publisher("restart.meanwhile"));
  auto to_later = must(agent.publisher("restart.later"));
  for (uint64_t i = 0; i < 5; ++i) {
    ASSERT_TRUE(send_number(to_meanwhile, i));
    ASSERT_TRUE(send_number(to_later, i));
  }
  for (const Child* child : {&meanwhile, &later}) {
    child->link().tell(1);
    ASSERT_TRUE(child->link().hear());
  }

  fabric_->kill_supervisor_alone();
  EXPECT_EQ(meanwhile.kill(), 128 + SIGKILL);  // And waited for: its pid is gone.
  EXPECT_TRUE(send_number(to_meanwhile, 5));   // To an inbox that nobody closes yet.
  ASSERT_TRUE(fabric_->restart());
  EXPECT_EQ(send_number(to_meanwhile, 6).outcome, SendOutcome::NoReceiver);
  EXPECT_TRUE(Agent::attach({.name = "meanwhile"}));
  EXPECT_TRUE(send_number(to_later, 5));  // It has made no call since, and keeps its place.
  EXPECT_EQ(Agent::attach({.name = "later"}).error().code, Errc::NameTaken);

  EXPECT_EQ(later.kill(), 128 + SIGKILL);
  EXPECT_TRUE(wait_until([] { return Agent::attach({.name = "later"}).has_value(); }));
  EXPECT_EQ(send_number(to_later, 6).outcome, SendOutcome::NoReceiver);
  EXPECT_TRUE(all_chunks_free());
}

// The new supervisor looks at such processes only after it serves; who wants the name meanwhile gets it.
TEST_F(Restarted, WhoExecutedAnotherProgramMeanwhileIsSettled) {
  const auto changeling = [](const char* name) {
    return [name](const Link& link) {
      Agent agent = attach(name);
      auto subscriber = must(agent.subscriber(std::string("restart.") + name));
      link.tell(1);
      if (!link.hear()) return 2;
      execlp("sleep", "sleep", "60", nullptr);
      return 3;
    };
  };
  Child wanted(changeling("wanted"));
  Child forgotten(changeling("forgotten"));
  Agent agent = attach("survivor");
  auto publisher = must(agent.publisher("restart.forgotten"));
  for (const Child* child : {&wanted, &forgotten}) ASSERT_TRUE(child->link().hear());
  ASSERT_TRUE(send_number(publisher, 1));
  fabric_->kill_supervisor_alone();
  for (const Child* child : {&wanted, &forgotten}) {
    child->link().tell(1);
    EXPECT_FALSE(child->link().hear()) << "its end of the link closes when it executes";
  }
  ASSERT_TRUE(fabric_->restart());
  EXPECT_TRUE(Agent::attach({.name = "wanted"}));
  EXPECT_TRUE(wait_until([&] { return publisher.receiver_count() == 0; }));
  EXPECT_TRUE(all_chunks_free());
}

TEST_F(Restarted, ASubscriptionThatEndsWhileThereIsNoSupervisorEndsWhenThereIsOne) {
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("restart.ends"));
  {
    auto subscriber = must(agent.subscriber("restart.ends"));
    EXPECT_TRUE(send_number(publisher, 1));
    fabric_->kill_supervisor_alone();
  }
  ASSERT_TRUE(fabric_->restart());
  auto other = must(agent.subscriber("restart.other"));  // Any call tells it.
  EXPECT_EQ(send_number(publisher, 2).outcome, SendOutcome::NoReceiver);
}

TEST_F(Restarted, WithoutItsKeeperTheFabricIsStartedAnewAndThoseOfTheOldOneAreToldSo) {
  Agent agent = attach("one");
  auto publisher = must(agent.publisher("restart.old"));
  auto subscriber = must(agent.subscriber("restart.old"));
  ASSERT_TRUE(send_number(publisher, 1));
  auto in_hand = subscriber.take();
  ASSERT_TRUE(in_hand);
  fabric_->kill_supervisor();
  ASSERT_TRUE(fabric_->restart());
  Agent anew = attach("one");  // As agent 1 of the new fabric, which the old one must not be taken for.
  const auto refused = agent.publisher("restart.new");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::FabricGone);
  EXPECT_NE(refused.error().why.find("started anew"), std::string::npos) << to_string(refused.error());
  expect_full_text(refused.error());
  EXPECT_EQ(number_of(in_hand->bytes()), 1u);
  EXPECT_TRUE(send_number(publisher, 2));  // Those who share the old memory go on.
  EXPECT_EQ(take_numbers(subscriber), (std::vector<uint64_t>{2}));
  EXPECT_TRUE(anew.publisher("restart.new"));
}

}  // namespace
}  // namespace ripstop::test
