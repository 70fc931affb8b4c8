// Built instead of numa_topology.cc when hwloc is absent. Behaves as that file does on a machine with
// one NUMA node.
#include <unistd.h>

#include <algorithm>
#include <string>

#include "topology/numa_topology.h"

namespace ripstop::topology {

Result<std::vector<NumaNode>> discover_numa_nodes(std::string_view synthetic) {
  if (!synthetic.empty()) {
    return Error{Errc::Unavailable, 0, "this build knows no synthetic topologies",
                 "it was built without hwloc", "install libhwloc-dev and build with -Dhwloc=enabled"};
  }
  NumaNode node{0, {}, 0};
  const long cpu_count = sysconf(_SC_NPROCESSORS_ONLN);
  for (long cpu = 0; cpu < cpu_count; ++cpu) node.cpus.push_back(static_cast<int>(cpu));
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page_bytes > 0) {
    node.bytes = static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes);
  }
  return std::vector<NumaNode>{std::move(node)};
}

bool bind_to_node(void*, std::size_t, uint32_t) { return false; }

std::optional<uint32_t> node_of_cpu(std::span<const NumaNode> nodes, int cpu) noexcept {
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    const auto& cpus = nodes[i].cpus;
    if (std::find(cpus.begin(), cpus.end(), cpu) != cpus.end()) return i;
  }
  return std::nullopt;
}

}  // namespace ripstop::topology
