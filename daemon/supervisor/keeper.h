// The keeper: a small process that holds the fabric's memory, so that it outlives a killed supervisor,
// and lets tools look at it meanwhile. It holds the pidfds of the agents' processes too: whoever succeeds the
// supervisor need not guess from numbers which process is whose. It parses only control messages and writes nothing.
#pragma once

#include "control/endpoint.h"
#include "ripstop/result.h"
#include "supervisor/access_policy.h"

namespace ripstop::supervisor {

// Where the keeper finds its end of the link to its supervisor.
inline constexpr int kKeeperLinkFd = 3;

// The keeper's whole life: takes the memory from the link, serves `endpoint.keeper_socket`, hands the
// memory to the next supervisor, ends when one says so. Returns the process's exit status.
int run_keeper(const control::Endpoint& endpoint, const AccessPolicy& policy);

}  // namespace ripstop::supervisor
