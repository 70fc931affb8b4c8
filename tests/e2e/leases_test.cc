// Method: receivers that stop, wait or work, beside a supervisor whose leases are short. The kernel says
// who was killed: waitpid().
#include <atomic>
#include <cstring>

#include "ripstop/agent.h"
#include "ripstop/inspect.h"
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
  pid_t start_with_soft_lease(const std::string& lease_ms, const std::string& requeue_count) {
    std::vector<std::string> arguments = kSmall;
    arguments.insert(arguments.end(), {"--set", "soft_lease_ms=" + lease_ms, "--set", "soft_lease_requeues=" + requeue_count,
                                       "--set", "slab_bytes=8KiB"});
    return start(arguments);
  }
  static std::vector<LetterView> letters() {
    const auto inspector = Inspector::open();
    return inspector ? inspector->letters() : std::vector<LetterView>();
  }
  static uint64_t chunks_in_use() {
    const auto inspector = Inspector::open();
    if (!inspector) return ~uint64_t{0};
    uint64_t count = 0;
    for (const NodeView& node : inspector->nodes()) {
      for (const ClassView& each : node.classes) count += each.chunks_loaned + each.chunks_held;
    }
    return count;
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
  uint32_t send(std::string_view text = "message.") {
    if (!agent_) {
      AgentOptions options;
      options.name = "sender";
      agent_.emplace(std::move(*Agent::attach(std::move(options))));
      publisher_.emplace(std::move(*agent_->publisher("leases.topic")));
    }
    auto loan = publisher_->loan(text.size());
    if (!loan) return 0;
    std::memcpy(loan->bytes().data(), text.data(), text.size());
    return loan->send().receiver_count;
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

// --- the soft lease ---------------------------------------------------------------------------------------

TEST_F(Leases, WhatIsInHandForTooLongComesAgainAndTheLateReleaseIsRefused) {
  start_with_soft_lease("200", "1");
  AgentOptions options;
  options.name = "late";
  auto agent = Agent::attach(std::move(options));
  ASSERT_TRUE(agent);
  auto subscriber = agent->subscriber("leases.topic");
  ASSERT_TRUE(subscriber);
  EXPECT_EQ(send(), 1u);
  auto late = subscriber->take(10s);
  ASSERT_TRUE(late);
  auto again = subscriber->take(20s);
  ASSERT_TRUE(again) << log();
  EXPECT_EQ(again->info().attempt, 1);
  EXPECT_EQ(again->info().sequence, late->info().sequence);
  EXPECT_NE(again->bytes().data(), late->bytes().data()) << "memory that is read is not given to others";
  EXPECT_EQ(late->text(), again->text());
  EXPECT_EQ(late->release(), ReleaseOutcome::Revoked);
  EXPECT_EQ(again->release(), ReleaseOutcome::Ok);
  EXPECT_EQ(again->release(), ReleaseOutcome::Gone);
  EXPECT_NE(log().find("has had message 1 of topic leases.topic in hand for 200 ms (soft_lease_ms): it comes to it again"), std::string::npos) << log();
  EXPECT_TRUE(wait_until([] { return chunks_in_use() == 0; })) << chunks_in_use();
}

TEST_F(Leases, AStoppedOnesMessageIsADeadLetterAndItHearsSoWhenItGoesOn) {
  start_with_soft_lease("200", "0");
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t stopped = receiver("stopped", [told](Subscriber<Bytes>& subscriber) {
    auto message = subscriber.take(30s);
    const char taken = 't';
    if (!message || write(told[1], &taken, 1) != 1) _exit(1);
    while (fs::exists(std::string(std::getenv("XDG_RUNTIME_DIR")) + "/hold")) std::this_thread::sleep_for(1ms);
    const bool is_whole = message->text() == std::string_view("12345678");
    const char outcome = is_whole && message->release() == ReleaseOutcome::Revoked ? 'r' : '?';
    if (write(told[1], &outcome, 1) != 1) _exit(1);
  });
  const auto heard = [&] {
    char word = 0;
    return read(told[0], &word, 1) == 1 ? word : '\0';
  };
  std::ofstream(directory_ + "/hold") << "";
  EXPECT_EQ(send("12345678"), 1u);
  ASSERT_EQ(heard(), 't');
  kill(stopped, SIGSTOP);
  EXPECT_TRUE(wait_until([&] { return letters().size() == 1; }, 20s)) << log();
  EXPECT_EQ(letters().front().reason, "overdue");
  EXPECT_EQ(letters().front().agent, "stopped");
  EXPECT_EQ(letters().front().attempt, 0u);
  fs::remove(directory_ + "/hold");
  kill(stopped, SIGCONT);
  EXPECT_EQ(heard(), 'r') << log();
  close(told[0]);
  close(told[1]);
}

TEST_F(Leases, AKilledSupervisorsSuccessorKnowsWhoIsLate) {
  const pid_t first = start_with_soft_lease("200", "0");
  AgentOptions options;
  options.name = "late";
  auto agent = Agent::attach(std::move(options));
  ASSERT_TRUE(agent);
  auto subscriber = agent->subscriber("leases.topic");
  ASSERT_TRUE(subscriber);
  EXPECT_EQ(send(), 1u);
  auto late = subscriber->take(10s);
  ASSERT_TRUE(late);
  ASSERT_TRUE(wait_until([&] { return letters().size() == 1; }, 20s)) << log();
  kill(first, SIGKILL);
  EXPECT_EQ(exit_status(first), 128 + SIGKILL);
  start_with_soft_lease("200", "0");
  EXPECT_EQ(letters().size(), 1u);
  EXPECT_EQ(late->release(), ReleaseOutcome::Revoked);
  EXPECT_EQ(chunks_in_use(), 1u) << "the dead letter's";
}

// --- neither ----------------------------------------------------------------------------------------------

TEST_F(Leases, WithoutOneNobodyIsKilled) {
  start();
  const pid_t stopped = receiver("stopped", [](Subscriber<Bytes>&) {});
  kill(stopped, SIGSTOP);
  EXPECT_EQ(send(), 1u);
  EXPECT_FALSE(is_killed(stopped, 1500ms)) << log();
}

}  // namespace
}  // namespace ripstop
