#include "shmctl/alarms.h"

#include "shmctl/door.h"
#include "shmctl/units.h"

namespace ripstop::shmctl {

namespace {

constexpr double kClassNearlyUsedUp = 0.95;  // The last watermark.

Alarm supervisor_alarm(const Command& command, const FabricView& fabric) {
  const std::string pid = std::to_string(fabric.supervisor.pid);
  if (fabric.supervisor.state == 'T')
    return {"supervisor", "pid " + pid + " is stopped", "kill -CONT " + pid};
  if (fabric.supervisor.alive) {
    return {"supervisor", "pid " + pid + " lives and does not answer: " + fabric.supervisor_silence,
            "kill -9 " + pid + "; ripstopd --fabric " + fabric.name + "   (agents go on)"};
  }
  return {"supervisor", "pid " + pid + " has ended; agents go on, nobody new can attach",
          "ripstopd --fabric " + (fabric.name.empty() ? command.settings.fabric : fabric.name)};
}

Alarm agent_alarm(const Command& command, const AgentView& agent) {
  const std::string pid = std::to_string(agent.process.pid);
  std::string fix = to_type(command, "show agent " + agent.name);
  if (agent.health == Health::Stopped) fix = "kill -CONT " + pid;
  return {"agent " + agent.name, std::string(to_string(agent.health)) + ": " + agent.why, fix};
}

}  // namespace

const Telling<Alarm>& alarm_telling() {
  static const Telling<Alarm> telling = {
      {{"subject", "", Kind::Text, Show::JsonOnly, "what it is about"},
       [](const Alarm& a) { return a.subject; }},
      {{"evidence", "", Kind::Text, Show::JsonOnly, "what was seen"},
       [](const Alarm& a) { return a.evidence; }},
      {{"fix", "", Kind::Text, Show::JsonOnly, "what to type"},
       [](const Alarm& a) { return a.fix; }},
  };
  return telling;
}

std::vector<Alarm> find_alarms(const Command& command, const FabricView& fabric,
                               const std::vector<AgentView>& agents,
                               const std::vector<NodeView>& nodes) {
  std::vector<Alarm> alarms;
  if (fabric.read_via != "supervisor") alarms.push_back(supervisor_alarm(command, fabric));
  if (!fabric.keeper.alive) {
    alarms.push_back({"keeper", "no keeper holds the memory: it would not outlive the supervisor",
                      "the supervisor replaces it; if it does not, restart it"});
  }
  for (const AgentView& agent : agents) {
    const bool bad = agent.health == Health::Stuck || agent.health == Health::Stopped ||
                     agent.health == Health::Zombie || agent.health == Health::Dead || agent.health == Health::Lagging;
    if (bad) alarms.push_back(agent_alarm(command, agent));
    if (agent.corrupt_count + agent.corrupt > 0) {
      alarms.push_back({"agent " + agent.name,
                        "met " +
                            count_text(static_cast<double>(agent.corrupt_count + agent.corrupt)) +
                            " words out of bounds",
                        "shmctl explain RS-0205"});
    }
  }
  for (const NodeView& node : nodes) {
    if (node.poisoned) {
      const std::string pages = node.lost_pages > 1 ? std::to_string(node.lost_pages) + " pages" : "a page";
      const std::string pid = std::to_string(fabric.supervisor.pid);
      alarms.push_back({"memory",
                        "node " + std::to_string(node.index) + " lost " + pages +
                            ": what lay there is gone, and agents that touch it end by SIGBUS",
                        "end the fabric and start it again: kill " + pid + "; ripstopd --fabric " + fabric.name});
    }
    for (const ClassView& k : node.classes) {
      const uint32_t used = k.chunks_held + k.chunks_loaned;
      if (k.chunks_total == 0 || used < kClassNearlyUsedUp * k.chunks_total) continue;
      alarms.push_back({"memory",
                        std::to_string(used) + " of " + std::to_string(k.chunks_total) +
                            " chunks of " + bytes_text(k.payload_bytes) + " are in use",
                        "shmctl explain RS-0201"});
    }
  }
  if (fabric.corrupt_words > 0) {
    alarms.push_back({"memory",
                      "the supervisor met " +
                          count_text(static_cast<double>(fabric.corrupt_words)) +
                          " words out of bounds",
                      "shmctl explain RS-0205"});
  }
  return alarms;
}

}  // namespace ripstop::shmctl
