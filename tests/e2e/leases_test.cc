// Method: receivers that stop, wait or work, beside a supervisor whose hard lease is short. The kernel says
// who was killed: waitpid().
#include <atomic>

#include "ripstop/agent.h"
#include "supervisor_fixture.h"

namespace ripstop {
namespace {

class Leases : public Supervisor {
 protected:
  void start_with_lease(const std::string& lease_ms) {
    std::vector<std::string> arguments = kSmall;
    arguments.insert(arguments.end(), {"--set", "hard_lease_ms=" + lease_ms});
    start(arguments);
  }
  // An agent called `name` in a process of its own, which subscribes to "leases.topic" and then does as
  // `body` says.
  pid_t receiver(const std::string& name, const std::function<void(Subscriber<Bytes>&)>& body) {
    return in_child([&] {
      AgentOptions options;
      options.name = name;
      options.wait = Wait::Sleep;
      static auto agent = Agent::attach(std::move(options));
      if (!agent) return false;
      static auto subscriber = agent->subscriber("leases.topic");
      if (!subscriber) return false;
      std::thread([body] { body(*subscriber); }).detach();
      return true;
    });
  }
  // Sends one message; the number of receivers it reached.
  uint32_t send() {
    if (!agent_) {
      AgentOptions options;
      options.name = "sender";
      agent_.emplace(std::move(*Agent::attach(std::move(options))));
      publisher_.emplace(std::move(*agent_->publisher("leases.topic")));
    }
    auto loan = publisher_->loan(8);
    return loan ? loan->send().receiver_count : 0;
  }
  // Whether the process was killed within `timeout`.
  bool is_killed(pid_t pid, std::chrono::milliseconds timeout) {
    int status = 0;
    const bool ended = wait_until([&] { return waitpid(pid, &status, WNOHANG) == pid; }, timeout);
    if (ended) std::erase(children_, pid);
    return ended && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  std::optional<Agent> agent_;
  std::optional<Publisher<Bytes>> publisher_;
};

TEST_F(Leases, AStoppedReceiverWithMailIsKilledAndSettled) {
  start_with_lease("200");
  const pid_t stopped = receiver("stopped", [](Subscriber<Bytes>&) {});
  kill(stopped, SIGSTOP);
  EXPECT_EQ(send(), 1u);
  EXPECT_TRUE(is_killed(stopped, 20s)) << log();
  EXPECT_TRUE(wait_until([&] { return log().find("agent stopped (pid " + std::to_string(stopped) + ", agent 1) was killed; settled") != std::string::npos; }))
      << log();
  EXPECT_NE(log().find("neither taken nor released one for 200 ms"), std::string::npos) << log();
  EXPECT_EQ(send(), 0u) << "nobody is left";
}

TEST_F(Leases, OneThatKeepsAMessageInHandIsKilledToo) {
  start_with_lease("200");
  const pid_t endless = receiver("endless", [](Subscriber<Bytes>& subscriber) {
    static auto message = subscriber.take(10s);
    for (;;) pause();
  });
  EXPECT_EQ(send(), 1u);
  EXPECT_TRUE(is_killed(endless, 20s)) << log();
}

TEST_F(Leases, WhoHoldsNothingMayWaitForEverAndWhoGetsOnMayTakeItsTime) {
  start_with_lease("400");
  const pid_t idle = receiver("idle", [](Subscriber<Bytes>& subscriber) {
    while (subscriber.take(60s)) {
    }
  });
  // Always a message in hand, never the same one for long.
  const pid_t busy = receiver("busy", [](Subscriber<Bytes>& subscriber) {
    std::optional<Message<Bytes>> in_hand;
    while (auto message = subscriber.take(60s)) in_hand = std::move(*message);
  });
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(send(), 2u);
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_FALSE(is_killed(idle, 0ms)) << log();
  EXPECT_FALSE(is_killed(busy, 0ms)) << log();
  // Then it keeps its last one, and that is too long.
  EXPECT_TRUE(is_killed(busy, 20s)) << log();
  EXPECT_FALSE(is_killed(idle, 1s)) << log();
}

TEST_F(Leases, WithoutOneNobodyIsKilled) {
  start();
  const pid_t stopped = receiver("stopped", [](Subscriber<Bytes>&) {});
  kill(stopped, SIGSTOP);
  EXPECT_EQ(send(), 1u);
  EXPECT_FALSE(is_killed(stopped, 1500ms)) << log();
}

}  // namespace
}  // namespace ripstop
