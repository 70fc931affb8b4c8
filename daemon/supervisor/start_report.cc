#include "supervisor/start_report.h"

#include <unistd.h>

#include <cstdio>
#include <numeric>
#include <string>

namespace ripstop::supervisor {

namespace {

const char* text_of(layout::PageKind kind) noexcept {
  switch (kind) {
    case layout::PageKind::Huge: return "2 MiB pages (hugetlb)";
    case layout::PageKind::Transparent: return "2 MiB pages (transparent)";
    case layout::PageKind::Small: break;
  }
  return "4 KiB pages";
}

std::string size_text(uint64_t bytes) {
  if (bytes % (1u << 20) == 0) return std::to_string(bytes >> 20) + " MiB";
  if (bytes % 1024 == 0 && bytes < (1u << 20)) return std::to_string(bytes >> 10) + " KiB";
  if (bytes < 1024) return std::to_string(bytes) + " B";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MiB", static_cast<double>(bytes) / (1 << 20));
  return text;
}

std::string sizes_text(const SegmentManager& segments) {
  std::string text;
  const auto node_count = segments.view().nodes().size();
  for (const layout::ClassGeometry& each : segments.view().classes()) {
    const uint64_t count = uint64_t{each.slab_chunks} * each.slab_count * node_count;
    text += (text.empty() ? "" : ", ") + size_text(each.payload_bytes) + " x " + std::to_string(count);
  }
  return text;
}

}  // namespace

void print_start_report(const Config& config, const control::Endpoint& endpoint, const AccessPolicy& policy,
                        const SegmentManager& segments, uint64_t hugepages_added) {
  const layout::Superblock& super = segments.superblock();
  const auto& bytes = segments.segment_bytes();
  const uint64_t total = std::accumulate(bytes.begin(), bytes.end(), uint64_t{0});
  std::printf("ripstopd %s serves fabric %s (pid %d)\n", RIPSTOP_VERSION, config.fabric.c_str(), getpid());
  std::printf("  socket  %s (mode %04o)\n", endpoint.socket.c_str(), policy.socket_mode());
  std::printf("  memory  %s in all, reserved\n", size_text(total).c_str());
  for (const layout::NodeGeometry& node : segments.view().nodes()) {
    std::printf("          NUMA node %u: %s, asked %s, got %s%s\n", node.numa_node, size_text(node.segment_bytes).c_str(),
                text_of(node.pages_asked), text_of(node.pages_got), node.bound != 0 ? ", bound" : "");
  }
  if (hugepages_added > 0) {
    std::printf("          %llu pages were added to the kernel's pool; they go back at the end\n",
                static_cast<unsigned long long>(hugepages_added));
  }
  std::printf("  agents  %u at most; inbox lanes of %u %u %u %u %u slots\n", super.agent_capacity - 1, super.lane_slots[0],
              super.lane_slots[1], super.lane_slots[2], super.lane_slots[3], super.lane_slots[4]);
  std::printf("  sizes   %s\n", sizes_text(segments).c_str());
  std::printf("  next    shmctl%s\n", config.fabric == "default" ? "" : (" --fabric " + config.fabric).c_str());
  std::fflush(stdout);
}

}  // namespace ripstop::supervisor
