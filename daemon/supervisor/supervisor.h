// A running supervisor: the parts of main, wired, from the first request to the last.
#pragma once

#include <optional>
#include <span>

#include "control/endpoint.h"
#include "ripstop/result.h"
#include "supervisor/config.h"
#include "topology/numa_topology.h"

namespace ripstop::supervisor {

// Serves one fabric until it is told to end (SIGTERM, SIGINT, a drain request), then leaves nothing
// behind: no file, no process, no memory.
// Errors: FabricBusy, NoMemory, NoHugepages, ConfigValue, Denied, System.
Result<void> run_supervisor(const Config& config, std::span<const topology::NumaNode> nodes, bool nodes_are_real);

}  // namespace ripstop::supervisor
