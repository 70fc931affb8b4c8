// What is wrong with a fabric at this moment, with the evidence and the command that mends it.
#pragma once

#include <string>
#include <vector>

#include "ripstop/inspect.h"
#include "shmctl/told.h"
#include "shmctl/verb.h"

namespace ripstop::shmctl {

struct Alarm {
  std::string subject;  // "agent solver", "supervisor", "memory".
  std::string evidence;
  std::string fix;  // What to type or do; may be empty.
};

const Telling<Alarm>& alarm_telling();

std::vector<Alarm> find_alarms(const Command& command, const FabricView& fabric,
                               const std::vector<AgentView>& agents,
                               const std::vector<NodeView>& nodes);

}  // namespace ripstop::shmctl
