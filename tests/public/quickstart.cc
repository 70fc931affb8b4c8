// README:begin
#include <ripstop/ripstop.h>

#include "task.capnp.h"

int main() {
  auto agent = ripstop::Agent::attach({.name = "planner"});
  if (!agent) return ripstop::exit_code(agent.error());

  auto tasks = agent->publisher<Task>("agent.planner.task.assign");
  if (!tasks) return ripstop::exit_code(tasks.error());
  auto task = tasks->loan();
  if (!task) return ripstop::exit_code(task.error());

  task->root().setGoal("mend the net");
  const ripstop::Sent sent = task->send({.priority = ripstop::Priority::High});
  return ripstop::explain(sent);  // 0, or one line that says who did not get it and why.
}
// README:end
