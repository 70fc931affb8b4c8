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

TEST(Judge, AZombieIsToldFromOneThatIsGone) {
  AgentView zombie = with_old_backlog();
  zombie.process.alive = false;
  zombie.process.state = 'Z';
  EXPECT_EQ(judge(zombie, nullptr).health, Health::Zombie);
  EXPECT_NE(judge(zombie, nullptr).why.find("parent"), std::string::npos);
}

// Each state from the one before, as its evidence changes: what a watcher of one agent sees.
TEST(Judge, AnAgentGoesThroughAllStatesAndBack) {
  AgentView agent = quiet();
  const auto now = [&](const AgentView* earlier = nullptr) { return judge(agent, earlier).health; };
  EXPECT_EQ(now(), Health::Idle);
  agent.last_take_ns = 1000;
  EXPECT_EQ(now(), Health::Active);
  agent.taken = 1;
  agent.last_take_ns = 3 * kSecondNs;
  EXPECT_EQ(now(), Health::Busy) << "slow, not hung: one in hand, nothing waits";
  agent.waiting = 3;
  agent.oldest_wait_ns = kSecondNs * 3 / 4;
  EXPECT_EQ(now(), Health::Lagging);
  agent.oldest_wait_ns = 2 * kSecondNs;
  EXPECT_EQ(now(), Health::Stuck);
  const AgentView before = agent;
  agent.taken_count += 1;
  EXPECT_EQ(now(&before), Health::Lagging) << "it took one since: behind, but it moves";
  agent.process.state = 'T';
  EXPECT_EQ(now(&before), Health::Stopped);
  agent.process.state = 'S';
  agent.waiting = 0;
  agent.taken = 0;
  EXPECT_EQ(now(&before), Health::Active);
  EXPECT_EQ(now(), Health::Idle);
  agent.process.alive = false;
  agent.process.state = 'Z';
  EXPECT_EQ(now(), Health::Zombie);
  agent.process.state = 0;
  EXPECT_EQ(now(), Health::Dead);
}

TEST(Judge, ARemoteAgentIsNotJudgedByAProcessOfThisHost) {
  AgentView remote = quiet();
  remote.remote = true;
  remote.process = {};
  EXPECT_EQ(judge(remote, nullptr).health, Health::Idle);
}

}  // namespace
}  // namespace ripstop
