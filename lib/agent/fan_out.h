// Naming the receivers of a message before its commit: in the header, in a list, or in branches.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "memory/slab_heap.h"

namespace ripstop::detail {

// One delivery: which receiver, and the chunk and bit that its slot names.
struct Delivery {
  uint32_t receiver;  // Index into the publisher's receivers.
  layout::Reference reference = 0;
  uint32_t bit = 0;
};

// The links of one message, in the order of its chain. Chained by chain_links().
using Links = std::vector<memory::Loaned>;

// Prepares the header, and the lists and branches it needs, for `deliveries` to receivers called
// `names` (same order), and says where each delivery's bit is. Lists come before and branches after
// the `links` that are there. Returns the bits of the root's commit, or nothing when the pool has no
// chunk for a list: then everything it added to `links` has been given back.
// Up to 4 names stand in the header, up to 53 in a list, more in branches of 53, which nest.
std::optional<uint64_t> name_receivers(memory::SlabHeap& heap, const memory::Loaned& root,
                                       std::span<const uint32_t> names, std::span<Delivery> deliveries, Links& links);

// Writes the chain into the headers and gives every link its hold. After this, only the root's commit
// is missing.
void chain_links(const memory::Loaned& root, const Links& links) noexcept;

// The loaner gives links back that were never part of a committed message.
void abort_links(memory::SlabHeap& heap, const Links& links) noexcept;

}  // namespace ripstop::detail
