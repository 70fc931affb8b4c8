// The states that operations begin in, and what makes them.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "proof/scenario.h"

namespace ripstop::proof {

inline constexpr uint32_t kCapacity = 4;
inline constexpr std::size_t kLane = static_cast<std::size_t>(Priority::Normal);
// A publisher opens a direct lane with this many messages to receivers that keep up.
inline constexpr uint32_t kSendsUntilDirect = 128;
inline constexpr uint32_t kDirectRoom = 8;  // Chunks of a slab.

using Scenarios = std::vector<Scenario>;
using Act = std::function<void(Member&)>;

struct State {
  std::string name;
  std::function<void(World&)> make;
};

inline Member& victim(World& world) { return world.members()[0]; }
inline Member& other(World& world) { return world.members()[1]; }

// The victim and the other publisher, then `receiver_count` agents with one subscription each.
void make_receivers(World& world, uint32_t receiver_count, const SubscriberOptions& options = {});
Shape shape_for(uint32_t receiver_count);
// Each subscription's next message, where there is one.
void receive_all(World& world);
void send_and_receive(World& world, Member& publisher, uint32_t count);
// The other publisher's: what lies in the rings before the operation.
void fill(World& world, uint32_t count);
void fall_asleep(World& world);
// Until the publisher's direct lane is open at everybody.
void open_direct(World& world, Member& publisher);
// What lies in the rings of receivers when the victim sends.
std::vector<State> mail_states();

// The scenarios, a file each.
void add_sends(Scenarios& list);
void add_loans(Scenarios& list);      // With aborts and detaches.
void add_direct_lanes(Scenarios& list);
void add_receivers(Scenarios& list);
void add_leases(Scenarios& list);
void add_channels(Scenarios& list);
void add_requests(Scenarios& list);   // The supervisor's part.

}  // namespace ripstop::proof
