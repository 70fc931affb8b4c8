// Is it dead, stuck, or just thinking: the evidence, and what follows from it.
#include <gtest/gtest.h>

#include "ripstop/inspect.h"

namespace ripstop {
namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;

AgentView quiet() {
  AgentView agent;
  agent.live = true;
  agent.process.pid = 42;
  agent.process.alive = true;
  agent.process.state = 'S';
  agent.process.blocked_in = "futex";
  return agent;
}

AgentView with_old_backlog() {
  AgentView agent = quiet();
  agent.waiting = 6;
  agent.oldest_wait_ns = 4 * kSecondNs;
  agent.last_take_ns = 5 * kSecondNs;
  return agent;
}

TEST(Judge, NothingToDoIsIdle) {
  EXPECT_EQ(judge(quiet(), nullptr).health, Health::Idle);
}

TEST(Judge, ABacklogWithoutProgressIsStuckAndSaysInWhichCall) {
  const Judgement judgement = judge(with_old_backlog(), nullptr);
  EXPECT_EQ(judgement.health, Health::Stuck);
  EXPECT_EQ(judgement.why, "6 wait, oldest 4.0 s; sleeps in futex, last take 5.0 s ago");
}

TEST(Judge, ABacklogWhileItComputesIsBusy) {
  AgentView running = with_old_backlog();
  running.process.state = 'R';
  EXPECT_EQ(judge(running, nullptr).health, Health::Busy);
  // Asleep at this very moment, but it used the processor since the look before.
  const AgentView earlier = with_old_backlog();
  AgentView now = with_old_backlog();
  now.process.cpu_ns = 10'000'000;
  EXPECT_EQ(judge(now, &earlier).health, Health::Busy);
}

TEST(Judge, ABacklogThatMovesLags) {
  AgentView agent = with_old_backlog();
  agent.last_take_ns = kSecondNs / 100;
  EXPECT_EQ(judge(agent, nullptr).health, Health::Lagging);
}

TEST(Judge, AFullLaneLagsHoweverYoung) {
  AgentView agent = quiet();
  agent.waiting = 100;
  agent.oldest_wait_ns = 1'000'000;
  agent.fullest = 0.8;
  agent.last_take_ns = 1'000;
  EXPECT_EQ(judge(agent, nullptr).health, Health::Lagging);
}

TEST(Judge, AMessageLongInHandIsBusyNotStuck) {
  AgentView agent = quiet();
  agent.taken = 1;
  agent.last_take_ns = 20 * kSecondNs;
  EXPECT_EQ(judge(agent, nullptr).health, Health::Busy);
}

TEST(Judge, StoppedAndDeadComeBeforeEverythingElse) {
  AgentView stopped = with_old_backlog();
  stopped.process.state = 'T';
  EXPECT_EQ(judge(stopped, nullptr).health, Health::Stopped);
  AgentView ended = with_old_backlog();
  ended.process.alive = false;
  ended.process.state = 0;
  EXPECT_EQ(judge(ended, nullptr).health, Health::Dead);
  AgentView settled = quiet();
  settled.live = false;
  EXPECT_EQ(judge(settled, nullptr).health, Health::Dead);
}

TEST(Judge, ARemoteAgentIsNotJudgedByAProcessOfThisHost) {
  AgentView remote = quiet();
  remote.remote = true;
  remote.process = {};
  EXPECT_EQ(judge(remote, nullptr).health, Health::Idle);
}

}  // namespace
}  // namespace ripstop
