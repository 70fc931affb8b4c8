// A message once more, in chunks of its own.
#pragma once

#include <optional>
#include <vector>

#include "control/fabric_map.h"
#include "memory/slab_heap.h"

namespace ripstop::control {

struct MessageCopy {
  memory::Loaned root;                // Its maker's alone, {g,P}, until it is committed.
  std::vector<memory::Loaned> links;  // Further segments.
};

// Copies the message that begins in `from`, with what it says of itself and `receiver` as its only one.
// Nothing: there is no room, or the message is damaged: numbers are bounded, whatever stands there.
std::optional<MessageCopy> copy_message(const memory::ChunkMap& chunks, memory::SlabHeap& heap, layout::Reference from,
                                        uint32_t receiver);

// Either of them, once.
void copy_sent(memory::SlabHeap& heap, const MessageCopy& copy);
void abort_copy(const memory::ChunkMap& chunks, memory::SlabHeap& heap, const MessageCopy& copy);

}  // namespace ripstop::control
