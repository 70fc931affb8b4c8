// Copying a route: the block it lies in is immutable while the topic names it, and is not reused for
// 100 ms afterwards. So: read the topic's word, copy, read the word again. If it is the same the block
// was not retired while we copied. A copier that was stopped for longer sees another word.
//
// Edges.  R(route) -> A(route)  a route block's bytes, supervisor to publisher.
//         R(directory) -> A(directory)  a directory entry's bytes, supervisor to reader.
#include "control/control_view.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <string>

#include "base/name_hash.h"
#include "layout/agent_block.h"
#include "layout/layout_hash.h"

namespace ripstop::control {

namespace {

constexpr int kCopyTries = 8;

Error corrupt(std::string why) {
  return {Errc::Corrupt, 0, "the control segment is damaged", std::move(why),
          "end the fabric's supervisor and start it again"};
}

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// Whether [offset, offset + count * unit) lies in [0, bytes). No product overflows.
bool lies_within(uint64_t offset, uint64_t count, uint64_t unit, uint64_t bytes) noexcept {
  return offset <= bytes && count <= (bytes - offset) / unit;
}

}  // namespace

template <class T>
const T* ControlView::place(uint64_t offset, uint64_t count) const noexcept {
  if (offset % alignof(T) != 0 || !lies_within(offset, count, sizeof(T), segment_.size())) return nullptr;
  return reinterpret_cast<const T*>(segment_.data() + offset);
}

Result<ControlView> ControlView::open(std::span<const std::byte> segment) {
  ControlView view;
  view.segment_ = segment;
  view.superblock_ = view.place<layout::Superblock>(0, 1);
  if (view.superblock_ == nullptr) return corrupt("it is too small for a superblock");
  const layout::Superblock& super = *view.superblock_;
  if (super.magic != layout::kControlMagic) return corrupt("it does not begin as one");
  if (super.abi_version != layout::kAbiVersion) {
    return Error{Errc::AbiMismatch, 0,
                 "the fabric speaks version " + std::to_string(super.abi_version) + ", this program version " +
                     std::to_string(layout::kAbiVersion),
                 "one of the two is older", "restart the older side with the newer library"};
  }
  if (super.layout_hash != layout::layout_hash()) {
    return Error{Errc::LayoutMismatch, 0,
                 "the fabric's layout is " + hex(super.layout_hash) + ", this program's " + hex(layout::layout_hash()),
                 "they were built from different sources", "build both from the same commit"};
  }
  if (super.control_bytes > segment.size()) return corrupt("it is shorter than its superblock says");
  view.segment_ = segment.first(super.control_bytes);
  if (auto sound = view.check_tables(); !sound) return sound.error();
  for (uint32_t i = 0; i < view.node_count_; ++i) {
    if (auto sound = view.check_node(i); !sound) return sound.error();
  }
  return view;
}

Result<void> ControlView::check_tables() {
  const layout::Superblock& super = *superblock_;
  class_count_ = super.class_count;
  node_count_ = super.node_count;
  if (class_count_ == 0 || class_count_ > layout::kClassCountMax) return corrupt("its class count is out of bounds");
  if (node_count_ == 0 || node_count_ > layout::kNodeCountMax) return corrupt("its node count is out of bounds");
  if (!std::has_single_bit(super.topic_bucket_count)) return corrupt("its bucket count is no power of two");
  if (super.agent_capacity > layout::kAgentIdMax + 1) return corrupt("its agent capacity is out of bounds");

  agents_ = {place<layout::AgentEntry>(super.agents_offset, super.agent_capacity), super.agent_capacity};
  topics_ = {place<layout::TopicEntry>(super.topics_offset, super.topic_capacity), super.topic_capacity};
  buckets_ = {place<layout::TopicBucket>(super.buckets_offset, super.topic_bucket_count), super.topic_bucket_count};
  subscriptions_ = {place<layout::SubscriptionEntry>(super.subscriptions_offset, super.subscription_capacity),
                    super.subscription_capacity};
  rings_ = {place<layout::RingEntry>(super.rings_offset, super.ring_capacity), super.ring_capacity};
  letters_ = {place<layout::LetterEntry>(super.letters_offset, super.letter_capacity), super.letter_capacity};
  route_units_ = super.routes_bytes / layout::kRouteUnitBytes;
  if (super.routes_offset % layout::kRouteUnitBytes == 0 &&
      lies_within(super.routes_offset, route_units_, layout::kRouteUnitBytes, segment_.size())) {
    routes_ = segment_.data() + super.routes_offset;
  }
  if (agents_.first == nullptr) return corrupt("its agents lie outside of it");
  if (topics_.first == nullptr || buckets_.first == nullptr) return corrupt("its topics lie outside of it");
  if (subscriptions_.first == nullptr) return corrupt("its subscriptions lie outside of it");
  if (rings_.first == nullptr) return corrupt("its rings lie outside of it");
  if (letters_.first == nullptr) return corrupt("its dead letters lie outside of it");
  if (routes_ == nullptr) return corrupt("its routes lie outside of it");

  uint64_t block_end = sizeof(layout::AgentBlock);
  for (std::size_t lane = 0; lane < layout::kLaneCount; ++lane) {
    if (!std::has_single_bit(super.lane_slots[lane]) || super.lane_offset[lane] < block_end) {
      return corrupt("lane " + std::to_string(lane) + " has an impossible geometry");
    }
    block_end = super.lane_offset[lane] + uint64_t{super.lane_slots[lane]} * sizeof(layout::Slot);
  }
  if (block_end > super.agent_block_bytes) return corrupt("the lanes do not fit into an agent's block");
  return {};
}

Result<void> ControlView::check_node(uint32_t node_index) {
  const layout::NodeGeometry& node = superblock_->nodes[node_index];
  const std::string name = "node " + std::to_string(node_index);
  Table<layout::SlabEntry> slabs{place<layout::SlabEntry>(node.slab_table_offset, node.slab_count), node.slab_count};
  if (slabs.first == nullptr || node.slab_count > layout::kNodeSlabsMax) {
    return corrupt(name + "'s slab table lies outside of the segment");
  }
  if (!lies_within(node.slab_owners_offset, node.slab_count, sizeof(uint64_t), node.segment_bytes) ||
      node.agent_first > agents_.count || node.agent_count > agents_.count - node.agent_first ||
      !lies_within(node.agent_blocks_offset, node.agent_count, superblock_->agent_block_bytes, node.segment_bytes) ||
      !lies_within(node.ring_arena_offset, node.ring_arena_bytes, 1, node.segment_bytes)) {
    return corrupt(name + "'s parts lie outside of its segment");
  }
  for (uint32_t i = 0; i < node.slab_count; ++i) {
    const layout::SlabEntry& slab = slabs.first[i];
    if (slab.class_index >= class_count_) return corrupt(name + " has a slab of an unknown class");
    const layout::ClassGeometry& geometry = superblock_->classes[slab.class_index];
    if (geometry.stride_bytes == 0 ||
        !lies_within(slab.offset, geometry.slab_chunks, geometry.stride_bytes, node.segment_bytes)) {
      return corrupt(name + " has a slab outside of its segment");
    }
  }
  slabs_.push_back(slabs);
  return {};
}

std::span<const layout::SlabEntry> ControlView::slab_entries(uint32_t node_index) const noexcept {
  if (node_index >= slabs_.size()) return {};
  return {slabs_[node_index].first, slabs_[node_index].count};
}

std::string_view ControlView::text_of(const char* field, std::size_t bytes) noexcept {
  return {field, strnlen(field, bytes)};
}

std::optional<uint32_t> ControlView::find_topic(std::string_view name) const noexcept {
  const uint64_t hash = base::name_hash(name);
  // A(directory): pairs with R(directory) where the registry prepends a topic.
  uint32_t next = buckets_.first[bucket_of(hash, buckets_.count)].load(std::memory_order_acquire);
  for (uint32_t steps = 0; next != 0 && steps < topics_.count; ++steps) {
    const layout::TopicEntry* topic = topic_entry(next - 1);
    if (topic == nullptr) return std::nullopt;
    if (topic->hash == hash && topic_name(next - 1) == name) return next - 1;
    next = topic->next;
  }
  return std::nullopt;
}

std::string_view ControlView::topic_name(uint32_t topic_id) const noexcept {
  const layout::TopicEntry* topic = topic_entry(topic_id);
  // A(directory): pairs with R(directory) where the registry makes a topic.
  if (topic == nullptr || topic->state.load(std::memory_order_acquire) != 1) return {};
  return {topic->name, std::min<std::size_t>(topic->name_bytes, layout::kTopicFieldBytes)};
}

void ControlView::copy_words(void* to, const void* from, std::size_t bytes) noexcept {
  auto* out = static_cast<unsigned char*>(to);
  const auto* in = static_cast<const uint64_t*>(from);
  for (std::size_t i = 0; i < bytes / sizeof(uint64_t); ++i) {
    // Relaxed: whether the words belong together is seen from the word that names them, before and after.
    const uint64_t word = __atomic_load_n(in + i, __ATOMIC_RELAXED);
    std::memcpy(out + i * sizeof word, &word, sizeof word);
  }
}

bool ControlView::copy_route(uint32_t topic_id, std::vector<layout::RouteReceiver>& receivers) const {
  receivers.clear();
  const layout::TopicEntry* topic = topic_entry(topic_id);
  if (topic == nullptr) return false;
  for (int tries = 0; tries < kCopyTries; ++tries) {
    const uint64_t route = topic->route.load(std::memory_order_acquire);  // A(route)
    const uint64_t unit = route & 0xffffffffu;
    if (unit == 0) return true;
    if (unit >= route_units_) return false;
    const std::byte* block = routes_ + unit * layout::kRouteUnitBytes;
    layout::RouteHeader header;
    copy_words(&header, block, sizeof header);
    const uint64_t receiver_bytes = uint64_t{header.receiver_count} * sizeof(layout::RouteReceiver);
    const bool sound = header.topic_id == topic_id && header.version == route >> 32 &&
                       receiver_bytes <= (route_units_ - unit - 1) * layout::kRouteUnitBytes;
    if (sound) {
      receivers.resize(header.receiver_count);
      copy_words(receivers.data(), block + sizeof header, receiver_bytes);
    }
    // A(route): nothing of the copy is read after the word that says whether it was whole.
    std::atomic_thread_fence(std::memory_order_acquire);
    // Relaxed: the fence above orders it.
    if (topic->route.load(std::memory_order_relaxed) != route) continue;
    if (sound) return true;
    break;
  }
  receivers.clear();
  return false;
}

}  // namespace ripstop::control
