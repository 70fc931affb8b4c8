// Is it dead, stuck, or just thinking? Answered from what lies in shared memory and in /proc, without
// the agent's cooperation. One look suffices for dead, zombie, stopped, idle and lagging; between stuck and
// busy a second look decides, by the processor time used in between.
#include <cinttypes>
#include <cstdio>

#include "ripstop/inspect.h"

namespace ripstop {

namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kNoProgressNs = kSecondNs;  // Waiting this long without a take is no progress.
constexpr uint64_t kLagNs = kSecondNs / 2;     // What waits this long lags, though it moves.
constexpr double kLagFill = 0.6;               // Or a lane this full: the first watermark.

std::string seconds(uint64_t ns) {
  char text[32];
  if (ns < kSecondNs) {
    std::snprintf(text, sizeof text, "%.3g ms", static_cast<double>(ns) / 1e6);
  } else if (ns < 100 * kSecondNs) {
    std::snprintf(text, sizeof text, "%.1f s", static_cast<double>(ns) / 1e9);
  } else {
    std::snprintf(text, sizeof text, "%" PRIu64 " s", ns / kSecondNs);
  }
  return text;
}

std::string backlog(const AgentView& agent) {
  std::string text = std::to_string(agent.waiting) + (agent.waiting == 1 ? " waits" : " wait");
  if (agent.oldest_wait_ns) text += ", oldest " + seconds(*agent.oldest_wait_ns);
  return text;
}

std::string where(const AgentView& agent) {
  if (agent.process.state == 'R') return "runs";
  if (agent.process.state == 'D') {
    return "in the kernel" +
           (agent.process.blocked_in.empty() ? "" : " (" + agent.process.blocked_in + ")");
  }
  return agent.process.blocked_in.empty() ? "sleeps" : "sleeps in " + agent.process.blocked_in;
}

std::string last_take(const AgentView& agent) {
  return agent.last_take_ns ? "last take " + seconds(*agent.last_take_ns) + " ago"
                            : "never took one";
}

bool computes(const AgentView& now, const AgentView* earlier) {
  if (earlier != nullptr && earlier->process.cpu_ns < now.process.cpu_ns) return true;
  return now.process.state == 'R';
}

}  // namespace

std::string_view to_string(Health health) noexcept {
  switch (health) {
    case Health::Idle: return "idle";
    case Health::Active: return "active";
    case Health::Busy: return "busy";
    case Health::Lagging: return "lagging";
    case Health::Stuck: return "stuck";
    case Health::Stopped: return "stopped";
    case Health::Zombie: return "zombie";
    case Health::Dead: return "dead";
  }
  return "unknown";
}

Judgement judge(const AgentView& now, const AgentView* earlier) {
  if (!now.live) return {Health::Dead, "its death is being settled"};
  if (!now.process.alive && !now.remote) {
    const std::string pid = std::to_string(now.process.pid);
    if (now.process.state == 'Z') return {Health::Zombie, "process " + pid + " has ended, its parent has not waited for it"};
    return {Health::Dead, "process " + pid + " has ended"};
  }
  if (now.process.state == 'T')
    return {Health::Stopped, "by a signal (kill -CONT " + std::to_string(now.process.pid) + ")"};
  if (now.process.state == 't') return {Health::Stopped, "by a debugger"};

  const bool took_since = earlier != nullptr && now.taken_count != earlier->taken_count;
  const bool took_lately = took_since || (now.last_take_ns && *now.last_take_ns < kNoProgressNs);
  const bool old_backlog =
      now.waiting > 0 && (!now.oldest_wait_ns || *now.oldest_wait_ns > kNoProgressNs);
  const uint32_t in_hand = now.taken + now.held;

  if (old_backlog && !took_lately) {
    if (computes(now, earlier)) {
      return {Health::Busy, backlog(now) + "; computes, " + last_take(now)};
    }
    return {Health::Stuck, backlog(now) + "; " + where(now) + ", " + last_take(now)};
  }
  if (now.waiting > 0 &&
      (now.fullest >= kLagFill || (now.oldest_wait_ns && *now.oldest_wait_ns > kLagNs))) {
    return {Health::Lagging, backlog(now) + "; " + last_take(now)};
  }
  if (in_hand > 0 && !took_lately) {
    return {Health::Busy,
            std::to_string(in_hand) + " in hand; " + where(now) + ", " + last_take(now)};
  }
  const bool published_lately = now.last_publish_ns && *now.last_publish_ns < kNoProgressNs;
  if (took_lately || published_lately || now.waiting > 0) {
    return {Health::Active, took_lately        ? last_take(now)
                            : published_lately ? "publishes"
                                               : backlog(now)};
  }
  return {Health::Idle, "nothing waits, " + where(now)};
}

}  // namespace ripstop
