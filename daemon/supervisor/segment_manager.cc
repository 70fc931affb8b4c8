// The control segment has 4 KiB pages: it is small, and a huge page each would cost a default fabric
// 3 % of its memory. Node segments are created first, so that what they got can be written into it.
#include "supervisor/segment_manager.h"

#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "base/clock.h"
#include "layout/layout_hash.h"
#include "layout/node_segment.h"
#include "memory/hugepage_pool.h"
#include "memory/memfd.h"

namespace ripstop::supervisor {

namespace {

constexpr uint64_t kTscSampleNs = 10'000'000;

uint64_t realtime_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(time.tv_nsec);
}

// Adds what the kernel's pool lacks for `plan`. Returns how many pages came.
uint64_t fill_hugepage_pool(const Geometry& plan) {
  uint64_t needed = 0;
  for (const NodePlan& node : plan.nodes) {
    needed += base::round_up(node.geometry.segment_bytes, memory::kHugePageBytes) / memory::kHugePageBytes;
  }
  const memory::HugepagePool pool = memory::read_hugepage_pool();
  if (pool.free_count >= needed) return 0;
  // More than is available would push the machine into reclaim, and the rest onto disk.
  if ((needed - pool.free_count) * memory::kHugePageBytes > memory::available_bytes()) return 0;
  return memory::grow_hugepage_pool(needed - pool.free_count);
}

memory::MemfdRequest node_request(const Config& config, const layout::NodeGeometry& geometry, std::size_t index,
                                  bool bind) {
  memory::MemfdRequest request;
  request.name = "ripstop:" + config.fabric + ":node" + std::to_string(index);
  request.bytes = geometry.segment_bytes;
  request.pages_asked = config.hugepages == Hugepages::Off ? layout::PageKind::Small : layout::PageKind::Huge;
  request.pages_required = config.hugepages == Hugepages::Require;
  if (bind) {
    request.place = [os_index = geometry.numa_node](void* address, std::size_t bytes) {
      return topology::bind_to_node(address, bytes, os_index);
    };
  }
  return request;
}

}  // namespace

Result<SegmentManager> SegmentManager::create(const Config& config, std::span<const topology::NumaNode> nodes,
                                              bool bind) {
  auto plan = plan_geometry(config, nodes);
  if (!plan) return plan.error();
  SegmentManager manager;
  if (config.hugepages != Hugepages::Off && config.reserve_hugepages && geteuid() == 0) {
    manager.hugepages_added_ = fill_hugepage_pool(*plan);
  }
  const auto give_up = [&](const Error& error) {
    manager.nodes_.clear();
    manager.fds_.clear();
    memory::shrink_hugepage_pool(manager.hugepages_added_);
    return error;
  };
  manager.fds_.emplace_back();  // The control segment's place.
  manager.segment_bytes_.push_back(0);
  for (std::size_t i = 0; i < plan->nodes.size(); ++i) {
    layout::NodeGeometry& geometry = plan->nodes[i].geometry;
    const memory::MemfdRequest request = node_request(config, geometry, i, bind);
    auto memfd = memory::create_memfd(request);
    if (!memfd) return give_up(memfd.error());
    geometry.segment_bytes = memfd->bytes;
    geometry.pages_asked = request.pages_asked;
    geometry.pages_got = memfd->pages_got;
    geometry.bound = memfd->placed ? 1 : 0;
    manager.fds_.push_back(std::move(memfd->fd));
    manager.segment_bytes_.push_back(memfd->bytes);
  }
  memory::MemfdRequest request;
  request.name = "ripstop:" + config.fabric + ":control";
  request.bytes = plan->control_bytes;
  auto memfd = memory::create_memfd(request);
  if (!memfd) return give_up(memfd.error());
  manager.fds_[0] = std::move(memfd->fd);
  manager.bell_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!manager.bell_) return give_up(system_error("eventfd", errno));
  manager.segment_bytes_[0] = memfd->bytes;
  if (auto mapped = manager.map_all(); !mapped) return give_up(mapped.error());
  manager.fill(config, *plan);
  if (auto viewed = manager.make_views(); !viewed) return give_up(viewed.error());
  return manager;
}

Result<SegmentManager> SegmentManager::adopt(std::vector<base::OwnedFd> fds, std::span<const uint64_t> segment_bytes) {
  if (fds.size() < 3 || fds.size() != segment_bytes.size() + 1 || segment_bytes[0] < sizeof(layout::Superblock) ||
      segment_bytes.size() > 1 + layout::kNodeCountMax) {
    return Error{Errc::Corrupt, 0, "the keeper handed over something else than a fabric's memory", "", ""};
  }
  SegmentManager manager;
  manager.bell_ = std::move(fds.back());
  fds.pop_back();
  manager.fds_ = std::move(fds);
  manager.segment_bytes_.assign(segment_bytes.begin(), segment_bytes.end());
  if (auto mapped = manager.map_all(); !mapped) return mapped.error();
  if (auto viewed = manager.make_views(); !viewed) return viewed.error();
  return manager;
}

Result<void> SegmentManager::map_all() {
  auto damage = Damage::create();
  if (!damage) return damage.error();
  damage_ = std::move(*damage);
  for (std::size_t i = 0; i < fds_.size(); ++i) {
    auto segment = memory::Segment::map(fds_[i].get(), memory::Access::ReadWrite, segment_bytes_[i],
                                        {.hidden_from_children = true, .sealed = true});
    if (!segment) return segment.error();
    auto read_only = memory::reopen_read_only(fds_[i].get());
    if (!read_only) return read_only.error();
    owner_fds_.push_back(fds_[i].get());
    observer_fds_.push_back(read_only->get());
    agent_fds_.push_back(i == 0 ? read_only->get() : fds_[i].get());
    read_only_.push_back(std::move(*read_only));
    if (i == 0) {
      control_ = std::move(*segment);
      continue;
    }
    nodes_.push_back(std::move(*segment));
    if (auto watched = damage_->watch(nodes_.back(), superblock().nodes[i - 1]); !watched) return watched;
  }
  owner_fds_.push_back(bell_.get());
  agent_fds_.push_back(bell_.get());
  return {};
}

Result<void> SegmentManager::make_views() {
  auto view = control::ControlView::open(control_.bytes());
  if (!view) return view.error();
  if (view->nodes().size() != nodes_.size()) {
    return Error{Errc::Corrupt, 0, "the control segment names another number of nodes than there are", "", ""};
  }
  std::vector<std::span<std::byte>> spans;
  for (const memory::Segment& node : nodes_) {
    const auto* header = reinterpret_cast<const layout::NodeHeader*>(node.data());
    if (header->magic != layout::kNodeMagic || header->layout_hash != layout::layout_hash() ||
        header->node_index != spans.size()) {
      return Error{Errc::Corrupt, 0, "node segment " + std::to_string(spans.size()) + " does not begin as one", "", ""};
    }
    spans.push_back(node.bytes());
  }
  auto map = control::FabricMap::create(control_.bytes(), spans);
  if (!map) return map.error();
  view_ = std::move(*view);
  map_ = std::move(*map);
  return {};
}

void SegmentManager::fill(const Config& config, const Geometry& plan) {
  layout::Superblock& super = superblock();
  super.magic = layout::kControlMagic;
  super.layout_hash = layout::layout_hash();
  super.abi_version = layout::kAbiVersion;
  super.node_count = static_cast<uint32_t>(plan.nodes.size());
  super.control_bytes = plan.control_bytes;
  if (getrandom(&super.fabric_id, sizeof super.fabric_id, 0) < 0) super.fabric_id = realtime_ns();
  super.create_time_ns = realtime_ns();
  const base::TscScale scale = base::measure_tsc_scale(kTscSampleNs);
  super.tsc_base = scale.base_tsc;
  super.tsc_base_ns = scale.base_ns;
  super.tsc_mult = scale.mult;
  std::memcpy(super.fabric_name, config.fabric.data(), std::min(config.fabric.size(), layout::kNameFieldBytes - 1));
  super.class_count = static_cast<uint32_t>(plan.classes.size());
  super.agent_capacity = plan.agent_capacity;
  super.topic_capacity = plan.topic_capacity;
  super.topic_bucket_count = plan.topic_bucket_count;
  super.subscription_capacity = plan.subscription_capacity;
  super.ring_capacity = plan.ring_capacity;
  super.agent_block_bytes = plan.agent_block_bytes;
  std::copy(std::begin(plan.lane_slots), std::end(plan.lane_slots), super.lane_slots);
  std::copy(std::begin(plan.lane_offset), std::end(plan.lane_offset), super.lane_offset);
  super.agents_offset = plan.agents_offset;
  super.topics_offset = plan.topics_offset;
  super.buckets_offset = plan.buckets_offset;
  super.subscriptions_offset = plan.subscriptions_offset;
  super.rings_offset = plan.rings_offset;
  super.routes_offset = plan.routes_offset;
  super.routes_bytes = plan.routes_bytes;
  super.letter_capacity = plan.letter_capacity;
  super.letters_offset = plan.letters_offset;
  std::copy(plan.classes.begin(), plan.classes.end(), super.classes);

  for (std::size_t n = 0; n < plan.nodes.size(); ++n) {
    const NodePlan& node = plan.nodes[n];
    super.nodes[n] = node.geometry;
    std::memcpy(control_.data() + node.geometry.slab_table_offset, node.slabs.data(),
                node.slabs.size() * sizeof(layout::SlabEntry));
    std::byte* base = nodes_[n].data();
    auto* header = reinterpret_cast<layout::NodeHeader*>(base);
    header->magic = layout::kNodeMagic;
    header->layout_hash = layout::layout_hash();
    header->node_index = static_cast<uint32_t>(n);
    header->segment_bytes = node.geometry.segment_bytes;
    for (uint32_t i = 0; i < node.geometry.agent_count; ++i) {
      auto* block = reinterpret_cast<layout::AgentBlock*>(base + node.geometry.agent_blocks_offset +
                                                          uint64_t{i} * plan.agent_block_bytes);
      block->header.agent_id = node.geometry.agent_first + i;
      block->header.node_index = static_cast<uint32_t>(n);
    }
    for (const layout::SlabEntry& slab : node.slabs) {
      const layout::ClassGeometry& geometry = plan.classes[slab.class_index];
      for (uint32_t i = 0; i < geometry.slab_chunks; ++i) {
        auto* chunk = reinterpret_cast<layout::ChunkHeader*>(base + slab.offset + uint64_t{i} * geometry.stride_bytes);
        // Relaxed: nobody else maps the segment yet.
        chunk->holders.low.store(1, std::memory_order_relaxed);
      }
    }
  }
}

std::vector<uint64_t> SegmentManager::node_inodes() const {
  std::vector<uint64_t> inodes;
  for (std::size_t i = 1; i < fds_.size(); ++i) {
    struct stat status{};
    if (fstat(fds_[i].get(), &status) == 0) inodes.push_back(status.st_ino);
  }
  return inodes;
}

}  // namespace ripstop::supervisor
