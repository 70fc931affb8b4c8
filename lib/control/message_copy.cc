#include "control/message_copy.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "memory/holders.h"

namespace ripstop::control {

namespace {

using layout::ChunkHeader;
using layout::ChunkRole;
using memory::Loaned;

// A chunk with the payload of `from`, in the smallest class that has one.
std::optional<Loaned> copy_chunk(const memory::ChunkMap& chunks, memory::SlabHeap& heap, layout::Reference reference) {
  const ChunkHeader& from = *chunks.find(layout::reference_chunk(reference));
  const uint32_t payload_bytes = from.payload_bytes;  // Once: who reads it twice may read two numbers.
  if (payload_bytes > chunks.payload_bytes(chunks.slab_of(layout::reference_chunk(reference)).class_index)) return std::nullopt;
  std::optional<Loaned> to;
  for (uint32_t index = chunks.class_for(payload_bytes); !to && index < chunks.classes().size(); ++index) to = heap.loan(index);
  if (!to) return std::nullopt;
  ChunkHeader& header = *to->header;
  header.payload_bytes = payload_bytes;
  header.role = ChunkRole::Root;
  header.flags = 0;
  header.link = 0;
  header.root = 0;
  std::memcpy(memory::payload(header), reinterpret_cast<const std::byte*>(&from) + layout::kChunkHeaderBytes, payload_bytes);
  return to;
}

// The further segments of the message that begins in `root`.
bool list_segments(const memory::ChunkMap& chunks, const ChunkHeader& root, std::vector<layout::Reference>& segments) {
  layout::Reference next = (root.flags & layout::kFlagLinked) != 0 ? root.link : 0;
  for (uint32_t steps = 0; next != 0; ++steps) {
    const ChunkHeader* link = steps < memory::kLinksMax ? chunks.find(layout::reference_chunk(next)) : nullptr;
    if (link == nullptr) return false;
    // Branches stand at the end, and may be gone.
    if (!layout::same_generation(next, memory::read_holders(*link).generation) || link->role == ChunkRole::Branch) return true;
    if (link->role == ChunkRole::Continuation) segments.push_back(next);
    next = link->link;
  }
  return true;
}

void copy_words(const ChunkHeader& from, ChunkHeader& to) noexcept {
  to.sequence = from.sequence;
  to.publish_time_ns = from.publish_time_ns;
  to.deadline_ns = from.deadline_ns;
  to.topic_id = from.topic_id;
  to.source = from.source;
  to.schema_id = from.schema_id;
  to.checksum = from.checksum;
  to.priority = from.priority & 15;
  to.content_type = from.content_type;
  to.flags = from.flags & layout::kFlagTraceSampled;
  to.publisher_row = from.publisher_row;
  to.correlation = from.correlation;
  std::copy(std::begin(from.trace_id), std::end(from.trace_id), to.trace_id);
  std::copy(std::begin(from.span_id), std::end(from.span_id), to.span_id);
}

}  // namespace

std::optional<MessageCopy> copy_message(const memory::ChunkMap& chunks, memory::SlabHeap& heap, layout::Reference from, uint32_t receiver) {
  const ChunkHeader& original = *chunks.find(layout::reference_chunk(from));
  std::vector<layout::Reference> segments;
  if (!list_segments(chunks, original, segments)) return std::nullopt;
  const auto first = copy_chunk(chunks, heap, from);
  if (!first) return std::nullopt;
  MessageCopy copy{*first, {}};
  ChunkHeader& root = *copy.root.header;
  copy_words(original, root);
  std::fill(std::begin(root.receivers), std::end(root.receivers), 0);
  root.receivers[0] = receiver;
  ChunkHeader* last = &root;
  for (const layout::Reference segment : segments) {
    const auto link = copy_chunk(chunks, heap, segment);
    if (!link) {
      abort_copy(chunks, heap, copy);
      return std::nullopt;
    }
    link->header->role = ChunkRole::Continuation;
    link->header->root = copy.root.reference();
    last->link = link->reference();
    root.flags |= layout::kFlagLinked;
    memory::commit(*link->header, layout::kLinkHold);
    last = link->header;
    copy.links.push_back(*link);
  }
  return copy;
}

void copy_sent(memory::SlabHeap& heap, const MessageCopy& copy) {
  heap.sent(copy.root);
  for (const Loaned& link : copy.links) heap.sent(link);
}

void abort_copy(const memory::ChunkMap& chunks, memory::SlabHeap& heap, const MessageCopy& copy) {
  memory::abort_message(chunks, *copy.root.header, copy.root.generation);
  heap.aborted(copy.root);
  for (const Loaned& link : copy.links) heap.aborted(link);
}

}  // namespace ripstop::control
