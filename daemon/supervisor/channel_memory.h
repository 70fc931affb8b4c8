// A channel's words in its node segment, as far as the supervisor writes them.
#pragma once

#include <cstdint>

#include "control/fabric_map.h"
#include "control/wire.h"

namespace ripstop::supervisor {

// A channel that both ends have left gets ready for new ones: what was not read is given up, the
// indices go on.
void open_channel(const control::FabricMap& map, uint32_t ring_id) noexcept;

// Who may produce, as layout::make_receiver() names it; 0: nobody.
void set_producer(const control::FabricMap& map, uint32_t ring_id, uint32_t producer) noexcept;

// The end's holder is in the middle of nothing any more.
void rest(const control::FabricMap& map, uint32_t ring_id, control::ChannelEnd end) noexcept;

// Wakes whoever sleeps at an end: the other one may have died between what it stored and its ring.
void wake_ends(const control::FabricMap& map, uint32_t ring_id) noexcept;

}  // namespace ripstop::supervisor
