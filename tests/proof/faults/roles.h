// One run of a program with one fault, and what must be so afterwards. One class for each program that has
// system calls and allocations of its own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "proof/faults/tracer.h"
#include "proof/live/fabric.h"
#include "proof/live/suite.h"

namespace ripstop::faults {

class Role {
 public:
  virtual ~Role() = default;
  virtual std::string name() const = 0;
  // What is found goes into `findings`, without naming the fault.
  virtual Happened run(const Plan& plan, live::Findings& findings) = 0;
  virtual Whose whose() const { return Whose::Program; }
  // A run takes long: the short form tries one fault at each call, another one each time that it is made.
  virtual bool is_slow() const { return false; }
};

// A supervisor's life: starts, serves an agent that detaches and one that is killed, is told to end.
std::unique_ptr<Role> supervisor_role();
// The supervisor's life when it takes the memory of a killed one over, and its two agents.
std::unique_ptr<Role> successor_role();
// A keeper's life: takes the memory, is looked at, hands it over to a second supervisor, ends with that.
std::unique_ptr<Role> keeper_role();
// An agent's (script.h), over a fabric that goes on from run to run.
std::unique_ptr<Role> agent_role();
// One verb of shmctl's, over the same. `words`: its arguments.
std::unique_ptr<Role> tool_role(std::vector<std::string> words);

}  // namespace ripstop::faults
