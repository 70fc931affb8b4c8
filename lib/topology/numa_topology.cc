// hwloc rather than /sys/devices/system/node: it knows the containers' restrictions, and its synthetic
// machines let a machine with one node test what several do. Loading it takes some milliseconds, so
// that a topology is loaded where it is needed and not kept.
#include "topology/numa_topology.h"

#include <hwloc.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>

namespace ripstop::topology {

namespace {

struct DestroyTopology {
  void operator()(hwloc_topology_t topology) const noexcept { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, DestroyTopology>;

Topology init_topology() {
  hwloc_topology_t topology = nullptr;
  return hwloc_topology_init(&topology) == 0 ? Topology(topology) : Topology();
}

std::vector<int> cpus_of(hwloc_const_cpuset_t set) {
  std::vector<int> cpus;
  if (set == nullptr) return cpus;
  for (int cpu = hwloc_bitmap_first(set); cpu >= 0; cpu = hwloc_bitmap_next(set, cpu)) {
    cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace

Result<std::vector<NumaNode>> discover_numa_nodes(std::string_view synthetic) {
  const Topology topology = init_topology();
  if (!topology) return system_error("hwloc_topology_init", errno);
  if (!synthetic.empty()) {
    const std::string text(synthetic);
    if (hwloc_topology_set_synthetic(topology.get(), text.c_str()) != 0) {
      return Error{Errc::ConfigValue, 0, "\"" + text + "\" does not describe a topology",
                   "hwloc reads levels from the machine down to processing units",
                   "for two nodes of two cores: \"numa:2 core:2 pu:1\""};
    }
  }
  if (hwloc_topology_load(topology.get()) != 0) return system_error("hwloc_topology_load", errno);

  std::vector<NumaNode> nodes;
  hwloc_obj_t object = nullptr;
  while ((object = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_NUMANODE, object)) !=
         nullptr) {
    nodes.push_back({object->os_index, cpus_of(object->cpuset), object->attr->numanode.local_memory});
  }
  if (nodes.empty()) {
    nodes.push_back({0, cpus_of(hwloc_topology_get_topology_cpuset(topology.get())), 0});
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const NumaNode& a, const NumaNode& b) { return a.os_index < b.os_index; });
  return nodes;
}

bool bind_to_node(void* address, std::size_t bytes, uint32_t os_index) {
  const Topology topology = init_topology();
  if (!topology || hwloc_topology_load(topology.get()) != 0) return false;
  if (hwloc_get_numanode_obj_by_os_index(topology.get(), os_index) == nullptr) return false;
  hwloc_bitmap_t nodes = hwloc_bitmap_alloc();
  if (nodes == nullptr) return false;
  hwloc_bitmap_set(nodes, os_index);
  const int done = hwloc_set_area_membind(topology.get(), address, bytes, nodes, HWLOC_MEMBIND_BIND,
                                          HWLOC_MEMBIND_BYNODESET | HWLOC_MEMBIND_STRICT);
  hwloc_bitmap_free(nodes);
  return done == 0;
}

std::optional<uint32_t> node_of_cpu(std::span<const NumaNode> nodes, int cpu) noexcept {
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    if (std::binary_search(nodes[i].cpus.begin(), nodes[i].cpus.end(), cpu)) return i;
  }
  return std::nullopt;
}

}  // namespace ripstop::topology
