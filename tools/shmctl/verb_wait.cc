#include <algorithm>
#include <cstdio>

#include "shmctl/door.h"
#include "shmctl/interrupt.h"
#include "shmctl/units.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

constexpr uint64_t kLookEveryNs = 20'000'000;

bool is_there(const Inspector& inspector, const std::string& kind, const std::string& name) {
  if (kind == "agent") {
    const auto agent = inspector.agent(name);
    return agent && agent->live;
  }
  return has_subscriber(inspector, name);
}

int run(const Command& command) {
  const auto timeout = command.duration("timeout", 30'000'000'000);
  if (!timeout) return exit_code(timeout.error());
  const std::string& kind = command.arguments[0];
  const std::string& name = command.arguments[1];
  Interrupt interrupt;
  const uint64_t end_ns = now_ns() + *timeout;
  // The supervisor may not be there yet either: that is waited for too.
  Result<Inspector> inspector = look_in(command);
  while (true) {
    if (!inspector) inspector = look_in(command);
    if (inspector && is_there(*inspector, kind, name)) return 0;
    if (now_ns() >= end_ns) break;
    const uint64_t left_ns = end_ns - now_ns();
    if (!interrupt.sleep(std::min(kLookEveryNs, left_ns))) return kInterruptedStatus;
  }
  if (!inspector) return exit_code(inspector.error());
  const std::string meant = kind == "agent" ? "agent " + name : "subscriber of topic " + name;
  return exit_code({.code = Errc::Timeout,
                    .what = "no " + meant + " came within " +
                            duration_text(*timeout, command.settings.terminal.utf8),
                    .why = "",
                    .fix = to_type(command, kind == "agent" ? "agents" : "topics")});
}

}  // namespace

const Verb& verb_wait() {
  static const Verb verb = {
      .name = "wait",
      .summary = "Until an agent is attached, or a topic has a subscriber",
      .detail =
          "For scripts. Ends with status 0 when it is there, 4 when the time is over. Waits for "
          "the supervisor too.",
      .access = Access::Reads,
      .lists = false,
      .arguments = {{"KIND", "agent or topic", false, Names::Choice, {"agent", "topic"}},
                    {"NAME", "which", false, Names::Agent}},
      .flags = {{"-t,--timeout", "TIME", "how long at most; 30s"}},
      .fields = {},
      .examples = {"shmctl wait agent planner --timeout 5s && shmctl pub agent.planner.task go"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
