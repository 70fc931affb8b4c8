// Rings and channels of the arenas: where they lie, who has them. A ring stays a ring of its geometry
// for ever; it is given to one owner after the other, each time with a new incarnation.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "layout/control_segment.h"
#include "ripstop/result.h"
#include "supervisor/segment_manager.h"

namespace ripstop::supervisor {

using layout::kRingFree;
using layout::kRingInUse;
using layout::kRingSettling;

class RingDirectory {
 public:
  // Finds the rings that are there already (a take-over), none in new memory.
  // Lifetime: `segments` outlives it.
  explicit RingDirectory(const SegmentManager& segments);

  struct Wanted {
    layout::RingKind kind;
    uint32_t node_index;
    uint32_t slot_count;  // A power of two.
    uint32_t slot_bytes;
  };
  // A free ring of that geometry; a larger free queue when no new one fits. It stays free until
  // publish(); its other fields may be written until then.
  // Errors: RingsFull (with the numbers).
  Result<uint32_t> reserve(const Wanted& wanted);

  // One store makes it visible; also moves it from in use to settling and to free.
  void publish(uint32_t ring_id, uint64_t incarnation, uint64_t state) noexcept;

  layout::RingEntry& entry(uint32_t ring_id) const noexcept { return rings_[ring_id]; }
  uint64_t state(uint32_t ring_id) const noexcept;
  uint64_t incarnation(uint32_t ring_id) const noexcept;
  // [1, high()) may be in use.
  uint32_t high() const noexcept;

  std::optional<uint32_t> find_channel(std::string_view name) const noexcept;

 private:
  std::optional<uint32_t> find_free(const Wanted& wanted, bool larger) const noexcept;
  std::optional<uint32_t> make(const Wanted& wanted);

  layout::Superblock& super_;
  layout::RingEntry* rings_;
  std::vector<uint64_t> arena_used_;  // Bytes, per node.
};

}  // namespace ripstop::supervisor
