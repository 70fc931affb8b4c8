// Edges.  R(directory) -> A(directory)  an entry's bytes, supervisor to reader.
#include "supervisor/ring_directory.h"

#include <algorithm>
#include <cstring>

#include "base/cache_line.h"

namespace ripstop::supervisor {

namespace {

uint64_t bytes_of(layout::RingKind kind, uint32_t slot_count, uint32_t slot_bytes) noexcept {
  const uint64_t header = kind == layout::RingKind::Queue ? sizeof(layout::RingBlock) : sizeof(layout::ChannelHeader);
  return base::round_up(header + uint64_t{slot_count} * slot_bytes, base::kCacheLineBytes);
}

}  // namespace

RingDirectory::RingDirectory(const SegmentManager& segments)
    : super_(segments.superblock()),
      rings_(reinterpret_cast<layout::RingEntry*>(segments.control_data() + super_.rings_offset)),
      arena_used_(super_.node_count, 0) {
  // Relaxed: this thread is the only writer.
  if (super_.ring_high.load(std::memory_order_relaxed) == 0) super_.ring_high.store(1, std::memory_order_relaxed);
  for (uint32_t id = 1; id < high(); ++id) {
    const layout::RingEntry& ring = rings_[id];
    if (ring.node_index >= super_.node_count) continue;
    const uint64_t end = ring.offset - super_.nodes[ring.node_index].ring_arena_offset +
                         bytes_of(ring.kind, ring.slot_count, ring.slot_bytes);
    arena_used_[ring.node_index] = std::max(arena_used_[ring.node_index], end);
  }
}

uint32_t RingDirectory::high() const noexcept {
  return std::min(super_.ring_high.load(std::memory_order_relaxed), super_.ring_capacity);  // Relaxed: ours alone.
}

uint64_t RingDirectory::state(uint32_t ring_id) const noexcept {
  return rings_[ring_id].word.load(std::memory_order_relaxed) & 3;  // Relaxed: only we write it.
}

uint64_t RingDirectory::incarnation(uint32_t ring_id) const noexcept {
  return rings_[ring_id].word.load(std::memory_order_relaxed) >> 2;  // Relaxed: only we write it.
}

void RingDirectory::publish(uint32_t ring_id, uint64_t incarnation, uint64_t state) noexcept {
  rings_[ring_id].word.store(layout::make_ring_word(incarnation, state), std::memory_order_release);  // R(directory)
}

std::optional<uint32_t> RingDirectory::find_free(const Wanted& wanted, bool larger) const noexcept {
  std::optional<uint32_t> best;
  for (uint32_t id = 1; id < high(); ++id) {
    const layout::RingEntry& ring = rings_[id];
    if (state(id) != kRingFree || ring.kind != wanted.kind) continue;
    if (!larger) {
      if (ring.node_index == wanted.node_index && ring.slot_count == wanted.slot_count && ring.slot_bytes == wanted.slot_bytes) return id;
      continue;
    }
    if (ring.slot_count < wanted.slot_count || ring.slot_bytes < wanted.slot_bytes) continue;
    const auto size = [&](uint32_t of) { return bytes_of(rings_[of].kind, rings_[of].slot_count, rings_[of].slot_bytes); };
    if (!best || size(id) < size(*best)) best = id;
  }
  return best;
}

std::optional<uint32_t> RingDirectory::make(const Wanted& wanted) {
  const uint32_t id = high();
  const uint64_t bytes = bytes_of(wanted.kind, wanted.slot_count, wanted.slot_bytes);
  if (id >= super_.ring_capacity) return std::nullopt;
  for (uint32_t step = 0; step < super_.node_count; ++step) {
    const uint32_t node_index = (wanted.node_index + step) % super_.node_count;
    const layout::NodeGeometry& node = super_.nodes[node_index];
    if (bytes > node.ring_arena_bytes - arena_used_[node_index]) continue;
    layout::RingEntry& ring = rings_[id];
    ring.offset = node.ring_arena_offset + arena_used_[node_index];
    ring.node_index = node_index;
    ring.slot_count = wanted.slot_count;
    ring.slot_bytes = wanted.slot_bytes;
    ring.kind = wanted.kind;
    arena_used_[node_index] += bytes;
    super_.ring_high.store(id + 1, std::memory_order_release);  // R(directory)
    return id;
  }
  return std::nullopt;
}

Result<uint32_t> RingDirectory::reserve(const Wanted& wanted) {
  if (const auto id = find_free(wanted, false)) return *id;
  if (const auto id = make(wanted)) return *id;
  // A channel's two ends agree on its geometry; a queue may be larger than was asked.
  const auto larger = wanted.kind == layout::RingKind::Queue ? find_free(wanted, true) : std::nullopt;
  if (larger) return *larger;
  const uint64_t bytes = bytes_of(wanted.kind, wanted.slot_count, wanted.slot_bytes);
  uint64_t left = 0;
  for (uint32_t i = 0; i < super_.node_count; ++i) left = std::max(left, super_.nodes[i].ring_arena_bytes - arena_used_[i]);
  return Error{Errc::RingsFull, 0, "there is no room for another ring of " + std::to_string(bytes) + " bytes",
               std::to_string(high() - 1) + " of " + std::to_string(super_.ring_capacity - 1) + " rings are made, " +
                   std::to_string(left) + " bytes of the arena are left",
               "configure more \"rings\" or \"ring_arena_bytes\", or ask for fewer or smaller slots"};
}

std::optional<uint32_t> RingDirectory::find_channel(std::string_view name) const noexcept {
  for (uint32_t id = 1; id < high(); ++id) {
    const layout::RingEntry& ring = rings_[id];
    if (state(id) == kRingInUse && ring.kind == layout::RingKind::Channel &&
        control::ControlView::text_of(ring.name, sizeof ring.name) == name) {
      return id;
    }
  }
  return std::nullopt;
}

}  // namespace ripstop::supervisor
