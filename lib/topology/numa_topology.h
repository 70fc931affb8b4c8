// The machine's NUMA nodes, and memory on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "ripstop/result.h"

namespace ripstop::topology {

struct NumaNode {
  uint32_t os_index;      // The kernel's number of it.
  std::vector<int> cpus;  // Ascending; empty for a node that is memory only.
  uint64_t bytes;         // Its memory, as far as the machine says.
};

// The nodes of this machine, by the kernel's numbers, or of the machine that `synthetic` describes in
// hwloc's words ("numa:2 core:2 pu:1"). A machine without NUMA is one node with all processors.
//
// Errors: ConfigValue (`synthetic` is not a description), System.
Result<std::vector<NumaNode>> discover_numa_nodes(std::string_view synthetic = {});

// Asks the kernel to keep the pages of a shared mapping on a node, the ones that are touched from now
// on. False when it did not: then they lie where the first touch puts them. Not for synthetic nodes.
bool bind_to_node(void* address, std::size_t bytes, uint32_t os_index);

// Index in `nodes` of the one that has processor `cpu`.
std::optional<uint32_t> node_of_cpu(std::span<const NumaNode> nodes, int cpu) noexcept;

}  // namespace ripstop::topology
