// Branches stand behind all other links: they are freed by their own deliveries while the message
// lives, and a walk along the chain ends at the first link that is gone (memory/holders.cc).
#include "agent/fan_out.h"

#include <algorithm>

namespace ripstop::detail {

namespace {

using layout::ChunkRole;
using memory::Loaned;

// Every chunk class holds the names of a full holder word.
constexpr uint32_t kNamesClass = 0;

uint64_t bits_below(std::size_t count) noexcept {
  return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

bool add_names(memory::SlabHeap& heap, ChunkRole role, std::span<const uint32_t> names, uint32_t root_bit,
               layout::Reference parent, Links& links) {
  if (links.size() == links.capacity()) {
    try {
      links.reserve(2 * links.size() + 8);
    } catch (const std::bad_alloc&) {
      return false;  // As when there is no chunk.
    }
  }
  const auto loaned = heap.loan(kNamesClass);
  if (!loaned) return false;
  layout::ChunkHeader& header = *loaned->header;
  header.role = role;
  header.flags = 0;
  header.link = 0;
  header.root = parent;
  header.payload_bytes = sizeof(layout::ReceiverNames);
  layout::ReceiverNames& list = memory::receiver_names(header);
  list.count = static_cast<uint32_t>(names.size());
  list.root_bit = root_bit;
  std::copy(names.begin(), names.end(), list.names);
  links.push_back(*loaned);
  return true;
}

// How many deliveries one bit of a chunk stands for when `count` go out from it: 1, 53 or 53².
std::size_t deliveries_per_bit(std::size_t count) noexcept {
  std::size_t each = 1;
  while (each * layout::kDeliveryCount < count) each *= layout::kDeliveryCount;
  return each;
}

// Adds branches below `parent` for all deliveries, depth first, and returns the parent's bits.
std::optional<uint64_t> add_branches(memory::SlabHeap& heap, layout::Reference parent, std::span<const uint32_t> names,
                                     std::span<Delivery> deliveries, Links& links) {
  const std::size_t each = deliveries_per_bit(names.size());
  uint32_t bit = 0;
  for (std::size_t first = 0; first < names.size(); first += each, ++bit) {
    const std::size_t count = std::min(each, names.size() - first);
    if (each == 1) {
      deliveries[first].reference = parent;
      deliveries[first].bit = bit;
      continue;
    }
    const bool leaf = count <= layout::kDeliveryCount;  // As the call below will see it.
    if (!add_names(heap, ChunkRole::Branch, leaf ? names.subspan(first, count) : std::span<const uint32_t>{}, bit,
                   parent, links)) {
      return std::nullopt;
    }
    const Loaned branch = links.back();
    const auto bits = add_branches(heap, branch.reference(), names.subspan(first, count),
                                   deliveries.subspan(first, count), links);
    if (!bits) return std::nullopt;
    // Not seen by anybody before the root's commit.
    memory::commit(*branch.header, *bits);
  }
  return bits_below(bit);
}

}  // namespace

std::optional<uint64_t> name_receivers(memory::SlabHeap& heap, const Loaned& root, std::span<const uint32_t> names,
                                       std::span<Delivery> deliveries, Links& links) {
  layout::ChunkHeader& header = *root.header;
  if (names.size() <= layout::kHeaderReceivers) {
    for (std::size_t i = 0; i < layout::kHeaderReceivers; ++i) header.receivers[i] = i < names.size() ? names[i] : 0;
    for (std::size_t i = 0; i < deliveries.size(); ++i) {
      deliveries[i].reference = root.reference();
      deliveries[i].bit = static_cast<uint32_t>(i);
    }
    return bits_below(names.size());
  }
  std::fill(std::begin(header.receivers), std::end(header.receivers), 0);
  const std::size_t before = links.size();
  if (names.size() <= layout::kDeliveryCount) {
    if (!add_names(heap, ChunkRole::ReceiverList, names, 0, root.reference(), links)) return std::nullopt;
    std::rotate(links.begin(), links.end() - 1, links.end());
    return add_branches(heap, root.reference(), names, deliveries, links);
  }
  const auto bits = add_branches(heap, root.reference(), names, deliveries, links);
  if (!bits) {
    abort_links(heap, Links(links.begin() + static_cast<std::ptrdiff_t>(before), links.end()));
    links.resize(before);
  }
  return bits;
}

void chain_links(const Loaned& root, const Links& links) noexcept {
  layout::ChunkHeader* last = root.header;
  for (const Loaned& link : links) {
    last->link = link.reference();
    link.header->link = 0;
    link.header->root = link.header->role == ChunkRole::Branch ? link.header->root : root.reference();
    if (link.header->role != ChunkRole::Branch) memory::commit(*link.header, layout::kLinkHold);
    last = link.header;
  }
  if (!links.empty()) root.header->flags |= layout::kFlagLinked;
}

void abort_links(memory::SlabHeap& heap, const Links& links) noexcept {
  for (const Loaned& link : links) {
    memory::abort_loan(*link.header, link.generation);
    heap.aborted(link);
  }
}

}  // namespace ripstop::detail
