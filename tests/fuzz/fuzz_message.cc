// A message of three segments in a receiver's lane. The input takes the place of what its publisher wrote: twelve
// bytes for the lengths, the rest for the payloads. The receiver reads it as Cap'n Proto, every field of it.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "agent/subscriber_core.h"
#include "base/check.h"
#include "ripstop/capnp.h"
#include "proof/states.h"
#include "scribbler/ground.h"
#include "tree.capnp.h"

using namespace ripstop;
using namespace ripstop::proof;

namespace {

constexpr std::size_t kSegments = 3;
constexpr std::size_t kReceiver = 2;

// The chunks of the oldest message in the receiver's normal lane that has further segments.
std::vector<layout::ChunkHeader*> find_segments(Ground& ground) {
  const control::FabricMap& map = ground.world().map();
  const ring::MpmcRing lane = map.lane(*map.block(ground.world().members()[kReceiver].place.id), kLane);
  for (uint64_t slot = 0; slot < lane.slot_count(); ++slot) {
    const ring::SlotView view = lane.read(slot);
    if (layout::word_phase(view.state) != layout::Phase::Full) continue;
    std::vector<layout::ChunkHeader*> found = {map.chunks().find(layout::reference_chunk(view.low))};
    for (uint64_t next = found[0]->link; next != 0;) {
      layout::ChunkHeader* link = map.chunks().find(layout::reference_chunk(next));
      if (link->role == layout::ChunkRole::Continuation) found.push_back(link);
      next = link->link;
    }
    if (found.size() == kSegments) return found;
  }
  return {};
}

std::size_t read_all(const Tree::Reader& tree) {
  std::size_t sum = tree.getTitle().size();
  for (const auto byte : tree.getBytes()) sum += byte;
  for (const uint64_t number : tree.getNumbers()) sum += number;
  for (const auto name : tree.getNames()) sum += name.size();
  for (const Tree::Reader child : tree.getChildren()) sum += read_all(child);
  return sum;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static Ground ground(Ground::Kind::FanOut);
  static volatile std::size_t sink;
  if (size < sizeof(uint32_t) * kSegments) return 0;
  ground.restore();
  static const std::vector<layout::ChunkHeader*> chunks = find_segments(ground);
  RIPSTOP_CHECK(chunks.size() == kSegments);
  const uint8_t* payload = data + sizeof(uint32_t) * kSegments;
  std::size_t left = size - sizeof(uint32_t) * kSegments;
  for (std::size_t i = 0; i < kSegments; ++i) {
    std::memcpy(&chunks[i]->payload_bytes, data + i * sizeof(uint32_t), sizeof(uint32_t));
    const std::size_t part = std::min<std::size_t>(left, i + 1 == kSegments ? kPayloadBytes : left / 2);
    std::memcpy(memory::payload(*chunks[i]), payload, std::min<std::size_t>(part, kPayloadBytes));
    payload += part;
    left -= part;
  }
  ground.take_all(kReceiver, [](proof::Message& message) {
    try {
      detail::CapnpReader reader(message);
      sink = sink + read_all(reader.getRoot<Tree>());
    } catch (const ::kj::Exception&) {  // What damage is, to a user of Cap'n Proto.
    }
    try {
      detail::SlotReader reader(message.bytes());
      sink = sink + read_all(reader.getRoot<Tree>());
    } catch (const ::kj::Exception&) {
    }
  });
  return 0;
}
