#include "shmctl/door.h"
#include "shmctl/listing.h"
#include "shmctl/told_agent.h"
#include "shmctl/verb_table.h"

namespace ripstop::shmctl {

namespace {

int run(const Command& command) {
  auto inspector = look_in(command);
  if (!inspector) return exit_code(inspector.error());
  std::vector<AgentView> agents = judged_agents(*inspector);
  std::size_t hidden = 0;
  if (!command.has("all"))
    hidden = std::erase_if(agents, [](const AgentView& a) { return a.observer; });

  Listing listing;
  listing.rows = rows_of(agent_row_telling(), agents);
  listing.tone = health_tone;
  listing.empty =
      "No agent is attached to fabric " + command.settings.fabric +
      (hidden == 0 ? ""
                   : " (" + std::to_string(hidden) + " of this tool's kind: --all shows them)") +
      ".\nA program attaches with ripstop::Agent::attach({.name = \"planner\"}); or try:\n  " +
      to_type(command, "sub hello");
  if (hidden > 0)
    listing.summary = "(" + std::to_string(hidden) + " of this tool's kind: --all shows them)";
  return print_listing(command, std::move(listing));
}

}  // namespace

const Verb& verb_agents() {
  static const Verb verb = {
      .name = "agents",
      .summary = "Who is attached, and whether it is dead, stuck or just thinking",
      .detail =
          "The state is judged from evidence, without the agent's cooperation: what waits in its "
          "lanes, its last "
          "take, its processor time and the call it is blocked in. -o wide shows the evidence.",
      .access = Access::Reads,
      .lists = true,
      .arguments = {},
      .flags = {{"-a,--all", "", "tools too (shmctl itself, attached for sub or tap)"}},
      .fields = fields_of(agent_row_telling()),
      .examples = {"shmctl agents", "shmctl agents --filter state=stuck",
                   "shmctl agents -o wide --sort -waiting"},
      .run = run,
  };
  return verb;
}

}  // namespace ripstop::shmctl
