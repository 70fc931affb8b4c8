// Cap'n Proto wants segments that are all zero, so a chunk is cleared when it becomes a segment: that
// is why a first segment is a small chunk unless the publisher asks for more. Further segments double.
//
// When the pool runs dry in the middle of building, Cap'n Proto has no way to be told but an exception;
// it gets private memory instead, the message is marked, and send() refuses it.
#include <algorithm>
#include <cstring>

#include "agent/agent_core.h"
#include "agent/publisher_core.h"
#include "ripstop/capnp.h"

namespace ripstop::detail {

namespace {

::kj::ArrayPtr<::capnp::word> as_words(std::byte* bytes, std::size_t byte_count) noexcept {
  return ::kj::arrayPtr(reinterpret_cast<::capnp::word*>(bytes), byte_count / sizeof(::capnp::word));
}

::kj::ArrayPtr<const ::capnp::word> as_words(std::span<const std::byte> bytes) noexcept {
  return ::kj::arrayPtr(reinterpret_cast<const ::capnp::word*>(bytes.data()), bytes.size() / sizeof(::capnp::word));
}

}  // namespace

namespace {

memory::Loaned loaned_of(const ChunkHandle& handle) noexcept {
  return {static_cast<layout::ChunkHeader*>(handle.header), handle.chunk, handle.generation, handle.class_index};
}

ChunkHandle handle_of(const memory::Loaned& loaned) noexcept {
  return {loaned.header, loaned.generation, loaned.chunk, loaned.class_index};
}

// All of a chunk's payload, cleared.
::kj::ArrayPtr<::capnp::word> segment_of(const memory::ChunkMap& chunks, const memory::Loaned& loaned) noexcept {
  std::byte* payload = memory::payload(*loaned.header);
  const uint32_t room_bytes = chunks.payload_bytes(loaned.class_index);
  std::memset(payload, 0, room_bytes);
  return as_words(payload, room_bytes);
}

}  // namespace

struct CapnpBuilder::Further {
  Links links;
  std::vector<std::unique_ptr<::capnp::word[]>> refused;
};

CapnpBuilder::CapnpBuilder(PublisherCore& publisher, const ChunkHandle& first) noexcept
    : publisher_(publisher), first_(first) {}

CapnpBuilder::~CapnpBuilder() noexcept(false) {
  if (!over_) publisher_.abort(loaned_of(first_), further_ ? further_->links : Links{});
}

CapnpBuilder::Further& CapnpBuilder::further() {
  if (!further_) further_ = std::make_unique<Further>();
  return *further_;
}

::kj::ArrayPtr<::capnp::word> CapnpBuilder::allocateSegment(::capnp::uint minimum_words) {
  const memory::ChunkMap& chunks = publisher_.agent().map().chunks();
  const std::size_t wanted_bytes = std::size_t{minimum_words} * sizeof(::capnp::word);
  if (!first_used_) {
    first_used_ = true;
    if (wanted_bytes <= chunks.payload_bytes(first_.class_index)) return segment_of(chunks, loaned_of(first_));
    // The root alone is larger than the first chunk: trade it for one that holds it.
    if (auto larger = publisher_.loan(wanted_bytes)) {
      publisher_.abort(loaned_of(first_), {});
      first_ = handle_of(*larger);
      return segment_of(chunks, *larger);
    } else {
      failure_ = larger.error();
    }
  } else if (!failure_) {
    Links& links = further().links;
    const uint32_t last_class = links.empty() ? first_.class_index : links.back().class_index;
    const std::size_t doubled_bytes = std::min<std::size_t>(2 * std::size_t{chunks.payload_bytes(last_class)},
                                                            chunks.classes().back().payload_bytes);
    Result<memory::Loaned> loaned = Error{Errc::TooLarge, 0, "the message has too many segments",
                                          "its lists and texts were added piece by piece",
                                          "give the publisher a larger first_segment_bytes"};
    if (links.size() < memory::kLinksMax / 2) loaned = publisher_.loan(std::max(wanted_bytes, doubled_bytes), false);
    if (loaned) {
      loaned->header->role = layout::ChunkRole::Continuation;
      links.push_back(*loaned);
      return segment_of(chunks, *loaned);
    }
    failure_ = loaned.error();
  }
  auto& refused = further().refused;
  refused.push_back(std::make_unique<::capnp::word[]>(minimum_words));
  std::memset(static_cast<void*>(refused.back().get()), 0, wanted_bytes);
  return ::kj::arrayPtr(refused.back().get(), minimum_words);
}

Sent CapnpBuilder::send(const SendOptions& options, uint32_t known_bytes) noexcept {
  Sent refused;
  if (over_) {
    refused.outcome = SendOutcome::Detached;
    return refused;
  }
  over_ = true;
  if (failure_) {
    publisher_.abort(loaned_of(first_), further_ ? further_->links : Links{});
    refused.outcome = SendOutcome::PoolEmpty;
    return refused;
  }
  if (known_bytes != 0 && !further_) {
    Links none;
    return publisher_.send(loaned_of(first_), known_bytes, none, options, ContentType::Capnp);
  }
  const auto segments = getSegmentsForOutput();
  Links none;
  Links& links = further_ ? further_->links : none;
  for (std::size_t i = 0; i + 1 < segments.size() && i < links.size(); ++i) {
    links[i].header->payload_bytes = static_cast<uint32_t>(segments[i + 1].size() * sizeof(::capnp::word));
  }
  return publisher_.send(loaned_of(first_), static_cast<uint32_t>(segments[0].size() * sizeof(::capnp::word)), links,
                         options, ContentType::Capnp);
}

Result<CapnpBuilders::Slot*> CapnpBuilders::acquire() {
  PublisherCore& core = *publisher_.core();
  const std::size_t first_bytes = core.options().first_segment_bytes;
  auto loaned = core.loan(first_bytes == 0 ? sizeof(::capnp::word) : first_bytes);
  if (!loaned) return loaned.error();
  auto free = std::find_if(slots_.begin(), slots_.end(), [](const auto& slot) { return !slot->in_use; });
  if (free == slots_.end()) free = slots_.insert(slots_.end(), std::make_unique<Slot>());
  Slot& slot = **free;
  slot.in_use = true;
  slot.builder.emplace(core, handle_of(*loaned));
  return &slot;
}

void CapnpBuilders::release(Slot& slot) noexcept {
  slot.builder.reset();
  slot.in_use = false;
}

Result<void> check_usable(PublisherCore& publisher) {
  if (!publisher.agent().usable()) return publisher.agent().unusable();
  return {};
}

Priority priority_of(const PublisherCore& publisher) noexcept { return publisher.options().priority; }

CapnpReader::CapnpReader(const Message<Bytes>& message)
    : ::capnp::MessageReader(reader_options()), message_(message) {}

::kj::ArrayPtr<const ::capnp::word> CapnpReader::getSegment(::capnp::uint id) {
  if (id == 0) return as_words(message_.bytes());
  const auto& segments = message_.segments();
  return id < segments.size() ? as_words(segments[id]) : nullptr;
}

::kj::ArrayPtr<::capnp::word> SlotBuilder::allocateSegment(::capnp::uint minimum_words) {
  const std::size_t room_words = slot_.size() / sizeof(::capnp::word);
  if (overflow_.empty() && minimum_words <= room_words && !slot_.empty()) {
    std::memset(slot_.data(), 0, room_words * sizeof(::capnp::word));
    const auto words = as_words(slot_.data(), slot_.size());
    slot_ = {};
    return words;
  }
  slot_ = {};
  overflow_.push_back(std::make_unique<std::vector<::capnp::word>>(minimum_words));
  std::memset(static_cast<void*>(overflow_.back()->data()), 0, minimum_words * sizeof(::capnp::word));
  return ::kj::arrayPtr(overflow_.back()->data(), minimum_words);
}

std::size_t SlotBuilder::used_bytes() noexcept {
  return overflow_.empty() ? getSegmentsForOutput()[0].size() * sizeof(::capnp::word) : 0;
}

::kj::ArrayPtr<const ::capnp::word> SlotReader::getSegment(::capnp::uint id) {
  return id == 0 ? as_words(payload_) : nullptr;
}

}  // namespace ripstop::detail
