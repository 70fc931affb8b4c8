// The plays, a file each for what they are about.
#pragma once

#include <vector>

#include "proof/explorer/scene.h"

namespace ripstop::explorer {

void add_lane_plays(std::vector<Play>& plays);     // Messages through lanes.
void add_queue_plays(std::vector<Play>& plays);    // Rings of their own: eviction, held tables, several takers.
void add_memory_plays(std::vector<Play>& plays);   // Slabs, links.
void add_direct_plays(std::vector<Play>& plays);   // Direct lanes.
void add_wake_plays(std::vector<Play>& plays);     // Who sleeps: doorbells, room, channels.

}  // namespace ripstop::explorer
