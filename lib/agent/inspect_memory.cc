#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "agent/inspect_core.h"
#include "memory/holders.h"

namespace ripstop::detail {

namespace {

constexpr std::size_t kPayloadStartBytes = 64;

std::string pages_text(layout::PageKind kind) {
  switch (kind) {
    case layout::PageKind::Small: return "small";
    case layout::PageKind::Transparent: return "transparent";
    case layout::PageKind::Huge: return "huge";
  }
  return "unknown";
}

void count_chunk(const layout::ChunkHeader& chunk, ClassView& view) {
  const uint64_t bits = look(chunk.holders.high);
  if (bits == 0) {
    ++view.chunks_free;
  } else if (bits == layout::kPublisherHold) {
    ++view.chunks_loaned;
  } else {
    ++view.chunks_held;
  }
}

// Each part of `label` between slashes as a number; empty when one is none.
std::vector<uint32_t> numbers_of(std::string_view label) {
  std::vector<uint32_t> numbers;
  while (true) {
    const std::size_t slash = label.find('/');
    const std::string_view part = label.substr(0, slash);
    const bool hex = part.starts_with("0x");
    const std::string_view digits = hex ? part.substr(2) : part;
    uint32_t number = 0;
    const auto [end, status] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number, hex ? 16 : 10);
    if (status != std::errc{} || end != digits.data() + digits.size()) return {};
    numbers.push_back(number);
    if (slash == std::string_view::npos) return numbers;
    label.remove_prefix(slash + 1);
  }
}

std::string role_text(layout::ChunkRole role) {
  switch (role) {
    case layout::ChunkRole::Root: return "root";
    case layout::ChunkRole::Continuation: return "continuation";
    case layout::ChunkRole::ReceiverList: return "receiver list";
    case layout::ChunkRole::Branch: return "branch";
  }
  return "unknown";
}

std::vector<std::string> holder_texts(const InspectCore& core, const layout::ChunkHeader& chunk,
                                      uint64_t bits) {
  std::vector<std::string> texts;
  if ((bits & layout::kPublisherHold) != 0) texts.push_back("publisher");
  if ((bits & layout::kClosing) != 0) texts.push_back("closing");
  if ((bits & layout::kLinkHold) != 0) texts.push_back("link");
  for (unsigned bit = 0; bit < layout::kDeliveryCount; ++bit) {
    if ((bits & (uint64_t{1} << bit)) == 0) continue;
    std::string text = "delivery " + std::to_string(bit);
    const uint32_t receiver = bit < layout::kHeaderReceivers ? chunk.receivers[bit] : 0;
    if (receiver != 0) text += ": " + core.agent_label(layout::receiver_agent(receiver));
    texts.push_back(std::move(text));
  }
  const int late_count = std::popcount(bits & layout::kLateHolds);
  if (late_count != 0) texts.push_back(std::to_string(late_count) + " late");
  return texts;
}

std::string reference_text(const InspectCore& core, uint64_t reference, uint32_t& corrupt) {
  if (reference == 0) return "";
  const uint32_t id = layout::reference_chunk(reference);
  if (core.map().chunks().find(id) == nullptr) ++corrupt;
  return InspectCore::chunk_label(id);
}

}  // namespace

std::vector<NodeView> view_nodes(const InspectCore& core) {
  const memory::ChunkMap& chunks = core.map().chunks();
  std::vector<NodeView> nodes;
  for (uint32_t n = 0; n < chunks.node_count(); ++n) {
    const layout::NodeGeometry& geometry = core.superblock().nodes[n];
    NodeView node;
    node.index = n;
    node.numa_node = geometry.numa_node;
    node.segment_bytes = core.node_bytes(n);
    node.ring_arena_bytes = geometry.ring_arena_bytes;
    node.pages_asked = pages_text(geometry.pages_asked);
    node.pages_got = pages_text(geometry.pages_got);
    node.bound = geometry.bound == 1;
    for (const layout::ClassGeometry& geometry_of_class : chunks.classes()) {
      ClassView view;
      view.payload_bytes = geometry_of_class.payload_bytes;
      view.stride_bytes = geometry_of_class.stride_bytes;
      node.classes.push_back(view);
    }
    for (uint32_t slab = 0; slab < chunks.slab_count(n); ++slab) {
      const memory::SlabPlace& place = chunks.slab(n, slab);
      ClassView& view = node.classes[place.class_index];
      const uint32_t owner = layout::slab_owner_agent(look(chunks.slab_owner(n, slab)));
      if (owner > layout::kAgentIdMax && owner != layout::kOwnerSupervisor) ++node.corrupt;
      ++(owner == 0 ? view.slabs_free : view.slabs_owned);
      view.chunks_total += place.chunk_count;
      for (uint32_t i = 0; i < place.chunk_count; ++i) {
        count_chunk(*reinterpret_cast<const layout::ChunkHeader*>(
                        place.first + std::size_t{i} * place.stride_bytes),
                    view);
      }
    }
    // After the look, which may have met a hole that the supervisor has not met yet.
    const auto& lost = core.origin().lost_pages;
    node.lost_pages = std::max(geometry.lost_page_count, n < lost.size() ? lost[n].count() : 0);
    node.poisoned = geometry.poisoned == 1 || node.lost_pages > 0;
    nodes.push_back(std::move(node));
  }
  for (uint32_t id = 1; id < core.agent_count(); ++id) {
    const std::optional<AgentFacts> agent = core.agent(id);
    if (agent && agent->node < nodes.size()) ++nodes[agent->node].agent_count;
  }
  return nodes;
}

Result<ChunkView> view_chunk(const InspectCore& core, std::string_view label) {
  const std::vector<uint32_t> numbers = numbers_of(label);
  if (numbers.size() != 1 && numbers.size() != 3) {
    return Error{Errc::Usage, 0, "'" + std::string(label) + "' does not name a chunk",
                 "a chunk is named node/slab/chunk, as 0/12/3, or by its number",
                 "shmctl show ring AGENT/LANE"};
  }
  if (numbers.size() == 3 &&
      (numbers[0] >= layout::kNodeCountMax || numbers[1] >= layout::kNodeSlabsMax ||
       numbers[2] >= layout::kSlabChunksMax)) {
    return not_found("chunk", label);
  }
  const memory::ChunkMap& chunks = core.map().chunks();
  const uint32_t id =
      numbers.size() == 3 ? layout::make_chunk_id(numbers[0], numbers[1], numbers[2]) : numbers[0];
  const layout::ChunkHeader* found = chunks.find(id);
  if (found == nullptr) return not_found("chunk", label);

  ChunkView view;
  view.id = id;
  view.label = InspectCore::chunk_label(id);
  const memory::SlabPlace& place = chunks.slab_of(id);
  view.payload_bytes_max = chunks.payload_bytes(place.class_index);
  const uint64_t owner = look(chunks.slab_owner(layout::chunk_node(id), layout::chunk_slab(id)));
  const uint32_t owner_id = layout::slab_owner_agent(owner);
  view.slab_owner = owner_id == 0 ? "nobody" : core.agent_label(owner_id);
  view.slab_version = layout::slab_owner_version(owner);

  const memory::Holders holders = memory::read_holders(*found);
  view.generation = holders.generation;
  view.bits = holders.bits;
  layout::ChunkHeader header;  // One copy; what is checked is what is shown.
  std::memcpy(static_cast<void*>(&header), found, sizeof header);
  view.state = holders.bits == 0                        ? "free"
               : holders.bits == layout::kPublisherHold ? "loaned"
               : (holders.bits & layout::kClosing) != 0 ? "closing"
                                                        : "held";
  view.holders = holder_texts(core, header, holders.bits);
  if (view.state == "free") return view;  // What stands behind is of an earlier life.

  view.role = role_text(header.role);
  view.topic = core.topic_label(header.topic_id);
  view.source = core.agent_label(layout::receiver_agent(header.source));
  view.sequence = header.sequence;
  view.age_ns = core.age_of(header.publish_time_ns);
  view.deadline_ns = header.deadline_ns;
  view.payload_bytes = header.payload_bytes;
  view.schema_id = header.schema_id;
  view.correlation = header.correlation;
  view.priority = header.priority < kPriorityCount
                      ? to_string(static_cast<Priority>(header.priority))
                      : "unknown";
  view.content_type = to_string(static_cast<ContentType>(header.content_type));
  view.link = reference_text(core, header.link, view.corrupt);
  view.root = reference_text(core, header.root, view.corrupt);
  if (view.role == "unknown" || view.priority == "unknown" ||
      header.payload_bytes > view.payload_bytes_max) {
    ++view.corrupt;
  }
  const std::size_t shown_bytes =
      std::min<std::size_t>({header.payload_bytes, view.payload_bytes_max, kPayloadStartBytes});
  const auto* payload = reinterpret_cast<const uint8_t*>(found) + layout::kChunkHeaderBytes;
  view.payload_start.assign(payload, payload + shown_bytes);
  return view;
}

}  // namespace ripstop::detail
