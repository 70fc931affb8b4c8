// What the programs under test are driven through.
#pragma once

#include <string>

namespace ripstop::faults {

// An agent's life: attaches, subscribes (inbox and a ring of its own), publishes, takes, waits, opens both ends of a channel and
// a descriptor, detaches. A step that fails says so with its error on a line of its own: "step: RS-0901 …", and
// the next is tried where it can be. Returns 0; all of it is this program's main when it is run as an agent.
int run_agent(const std::string& name);

// The words of errors among `lines` that do not say what, why and what to do.
std::string untyped(const std::string& lines);

}  // namespace ripstop::faults
