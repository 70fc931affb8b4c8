#include "cast.h"

namespace chaos {

namespace {

using ripstop::Overflow;
using ripstop::Wait;

// Hot pairs come to use direct lanes: a ball that goes to and fro, a stream, and a stream to two.
constexpr Says kPingSays[] = {{kPing, 1, 1000, 64, 1, kPong}};
constexpr Hears kPingHears[] = {{kPong}};
constexpr Says kPongSays[] = {{kPong, 1, 100'000, 64, 1, kPing}};
constexpr Hears kPongHears[] = {{kPing}};
constexpr Says kStreamSays[] = {{kStream, 256, 500, 200, 1}};
constexpr Hears kStreamFromHears[] = {{kMixed}};
constexpr Hears kStreamHears[] = {{kStream}};
constexpr Says kHotFanSays[] = {{kHotFan, 128, 700, 120, 1}, {kFanIn, 16, 4000, 900, 1}};

constexpr Says kFanOutSays[] = {{kFanOut, 48, 1500, 3000, 3}};
constexpr Hears kFanOutFromHears[] = {{kMixed, Overflow::Fail, true, 32}};
constexpr Hears kFanOutHears[] = {{kFanOut}};
constexpr Says kFanInSays[] = {{kFanIn, 24, 3000, 900, 1}};
constexpr Hears kWatcherHears[] = {{kFanOut, Overflow::DropOldest, true, 16}, {kLarge}};
constexpr Hears kFanOutAndHotHears[] = {{kFanOut}, {kHotFan}};

constexpr Says kLargeSays[] = {{kLarge, 2, 20'000, 150'000, 1, -1, true}, {kFanIn, 16, 5000, 900, 1}};
constexpr Hears kLargeFromHears[] = {{kMixed, Overflow::DropNewest, true, 32}};
constexpr Says kMixedSays[] = {{kMixed, 64, 3000, 400, 1}};
constexpr Hears kCollectorHears[] = {{kFanIn}, {kLarge}};
constexpr Hears kSecondCollectorHears[] = {{kFanIn, Overflow::Block, true, 64}, {kHotFan}};

constexpr std::array<Player, kPlayerCount> kCast = {{
    {"ping", true, Wait::Adaptive, kPingSays, kPingHears},
    {"pong", false, Wait::Adaptive, kPongSays, kPongHears},
    {"stream-from", true, Wait::Adaptive, kStreamSays, kStreamFromHears},
    {"stream-to", false, Wait::Adaptive, {}, kStreamHears},
    {"fan-from", true, Wait::Adaptive, kFanOutSays, kFanOutFromHears},
    {"fan-to-1", false, Wait::Sleep, {}, kFanOutHears},
    {"hot-fan-from", true, Wait::Sleep, kHotFanSays, kFanOutHears},
    {"fan-to-2", false, Wait::Adaptive, kFanInSays, kFanOutAndHotHears},
    {"watcher", false, Wait::Sleep, {}, kWatcherHears},
    {"large-from", true, Wait::Sleep, kLargeSays, kLargeFromHears},
    {"collector", false, Wait::Sleep, kMixedSays, kCollectorHears},
    {"collector-2", false, Wait::Adaptive, {}, kSecondCollectorHears},
}};

constexpr const char* kTopicNames[kTopicCount] = {"chaos.ping",  "chaos.pong",    "chaos.stream", "chaos.fan.out",
                                                  "chaos.fan.in", "chaos.large", "chaos.hot.fan", "chaos.mixed"};

}  // namespace

const char* topic_name(uint8_t topic) {
  return topic < kTopicCount ? kTopicNames[topic] : "?";
}

const std::array<Player, kPlayerCount>& cast() {
  return kCast;
}

uint32_t ring_count() {
  uint32_t count = 0;
  for (const Player& player : kCast) {
    for (const Hears& each : player.hears) count += each.own_ring ? 1 : 0;
  }
  return count;
}

uint32_t subscription_count() {
  uint32_t count = 0;
  for (const Player& player : kCast) count += static_cast<uint32_t>(player.hears.size());
  return count;
}

const Hears* hearing(std::size_t player, uint8_t topic) {
  for (const Hears& each : kCast[player].hears) {
    if (each.topic == topic) return &each;
  }
  return nullptr;
}

bool hears(std::size_t player, uint8_t topic) {
  return hearing(player, topic) != nullptr;
}

bool says(std::size_t player, uint8_t topic) {
  for (const Says& each : kCast[player].says) {
    if (each.topic == topic) return true;
  }
  return false;
}

}  // namespace chaos
