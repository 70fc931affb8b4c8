#include "supervisor/channel_memory.h"

#include <atomic>

#include "ring/doorbell.h"

namespace ripstop::supervisor {

void open_channel(const control::FabricMap& map, uint32_t ring_id) noexcept {
  const auto channel = map.channel(ring_id);
  if (!channel) return;
  // Relaxed: both ends have left, and the directory's word is stored after this.
  uint64_t tail = channel->header->tail.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < channel->slot_count; ++i) {
    const auto* slot = reinterpret_cast<const layout::ChannelSlot*>(
        channel->slots + (tail & (channel->slot_count - 1)) * channel->slot_bytes);
    // The tail is a hint: a slot that bears the next number has been handed over. Relaxed: as above.
    if (slot->sequence.load(std::memory_order_relaxed) != tail + 1) break;
    ++tail;
  }
  // Relaxed: as above.
  channel->header->tail.store(tail, std::memory_order_relaxed);
  channel->header->head.store(tail, std::memory_order_relaxed);
}

void set_producer(const control::FabricMap& map, uint32_t ring_id, uint32_t producer) noexcept {
  const auto channel = map.channel(ring_id);
  // Relaxed: for tools; who may produce stands in the directory.
  if (channel) channel->header->producer.store(producer, std::memory_order_relaxed);
}

void rest(const control::FabricMap& map, uint32_t ring_id, control::ChannelEnd end) noexcept {
  const auto channel = map.channel(ring_id);
  if (!channel) return;
  std::atomic<uint32_t>& word = end == control::ChannelEnd::Sender ? channel->header->sending : channel->header->releasing;
  word.store(0, std::memory_order_relaxed);  // Relaxed: its writer has left.
}

void wake_ends(const control::FabricMap& map, uint32_t ring_id) noexcept {
  const auto channel = map.channel(ring_id);
  if (!channel) return;
  for (std::atomic<uint32_t>* bell : {&channel->header->doorbell, &channel->header->space_bell}) {
    uint32_t last_rung = 0;
    (void)ring::ring_doorbell(*bell, last_rung);  // Does nothing for who is awake.
  }
}

}  // namespace ripstop::supervisor
