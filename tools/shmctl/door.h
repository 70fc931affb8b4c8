// How verbs meet the fabric: a look from outside, or an agent of the tool's own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ripstop/agent.h"
#include "ripstop/inspect.h"
#include "shmctl/verb.h"

namespace ripstop::shmctl {

// Errors: as Inspector::open(), with the nearest fabric's name when none answers.
Result<Inspector> look_in(const Command& command);

// Attaches as an observer called shmctl-<verb>-<pid>.
// Errors: as Agent::attach(), with the nearest fabric's name.
Result<Agent> go_in(const Command& command, Wait wait = Wait::Sleep);

// `error`, when it is NotFound and has no advice yet, with the nearest of `names`.
Error with_nearest(Error error, std::string_view wanted, const std::vector<std::string>& names,
                   std::string_view see);

// Whether anybody subscribes to the topic, or to a pattern that names it: it need not have been named.
// Of a pattern: whether anybody subscribes to it.
bool has_subscriber(const Inspector& inspector, const std::string& topic);

std::vector<std::string> agent_names(const Inspector& inspector);
std::vector<std::string> topic_names(const Inspector& inspector);

// "shmctl top", with the flags that lead to this fabric: for what is suggested to be typed next.
std::string to_type(const Command& command, std::string_view rest);

}  // namespace ripstop::shmctl
