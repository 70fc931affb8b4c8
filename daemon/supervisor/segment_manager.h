// The fabric's memory: made once, handed out as descriptors, never remade. What lies where is planned
// in geometry.h; who uses it is the registry's affair.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/owned_fd.h"
#include "control/control_view.h"
#include "control/fabric_map.h"
#include "memory/segment.h"
#include "ripstop/result.h"
#include "supervisor/config.h"
#include "supervisor/damage.h"
#include "supervisor/geometry.h"
#include "topology/numa_topology.h"

namespace ripstop::supervisor {

class SegmentManager {
 public:
  // Reserves and touches everything; all chunks are free, in generation 1. `bind`: nodes are real.
  // Errors: ConfigValue, NoMemory, NoHugepages, System.
  static Result<SegmentManager> create(const Config& config, std::span<const topology::NumaNode> nodes, bool bind);

  // Takes over the memory of a supervisor that was killed: the control segment, the nodes, the bell.
  // Errors: AbiMismatch, LayoutMismatch, Corrupt, System.
  static Result<SegmentManager> adopt(std::vector<base::OwnedFd> fds, std::span<const uint64_t> segment_bytes);

  // The control segment, writable. Only the registry writes there.
  layout::Superblock& superblock() const noexcept {
    return *reinterpret_cast<layout::Superblock*>(control_.data());
  }
  std::byte* control_data() const noexcept { return control_.data(); }
  const control::ControlView& view() const noexcept { return *view_; }
  const control::FabricMap& map() const noexcept { return *map_; }

  // What every hand-over is: bytes of the control segment, then of each node's.
  const std::vector<uint64_t>& segment_bytes() const noexcept { return segment_bytes_; }
  // The eventfd that agents write to start the tick (watch.h). It outlives a killed supervisor as the
  // memory does.
  int bell() const noexcept { return bell_.get(); }
  // For agents: control read-only, nodes read-write, the bell.
  const std::vector<int>& agent_fds() const noexcept { return agent_fds_; }
  // For onlookers: all read-only.
  const std::vector<int>& observer_fds() const noexcept { return observer_fds_; }
  // For the keeper: all read-write, and the bell.
  const std::vector<int>& owner_fds() const noexcept { return owner_fds_; }

  // Pages that were added to the kernel's pool for this fabric. The caller gives them back.
  uint64_t hugepages_added() const noexcept { return hugepages_added_; }

  // What was lost of the nodes' memory. It is watched for as long as it is mapped.
  Damage& damage() const noexcept { return *damage_; }

  // The inodes of the node segments, by which /proc/<pid>/maps shows who maps them.
  std::vector<uint64_t> node_inodes() const;

 private:
  SegmentManager() = default;
  Result<void> map_all();
  Result<void> make_views();
  void fill(const Config& config, const Geometry& plan);

  std::vector<base::OwnedFd> fds_;        // Read-write: control, nodes.
  std::vector<base::OwnedFd> read_only_;  // The same, read-only.
  base::OwnedFd bell_;
  std::vector<uint64_t> segment_bytes_;
  std::vector<int> agent_fds_;
  std::vector<int> observer_fds_;
  std::vector<int> owner_fds_;
  memory::Segment control_;
  std::vector<memory::Segment> nodes_;
  std::unique_ptr<Damage> damage_;  // Goes before what it watches.
  std::optional<control::ControlView> view_;
  std::optional<control::FabricMap> map_;
  uint64_t hugepages_added_ = 0;
};

}  // namespace ripstop::supervisor
