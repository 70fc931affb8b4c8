// One end of a channel.
#pragma once

#include <cstdint>
#include <memory>

#include "agent/waiting.h"
#include "control/fabric_map.h"
#include "ring/spsc_channel.h"
#include "ripstop/channel.h"

namespace ripstop::detail {

class AgentCore;

class ChannelCore {
 public:
  ChannelCore(std::shared_ptr<AgentCore> agent, uint32_t ring_id, const control::FabricMap::Channel& place, bool sender);
  ChannelCore(const ChannelCore&) = delete;
  ChannelCore& operator=(const ChannelCore&) = delete;
  ~ChannelCore();

  bool usable() const noexcept;
  ChannelOutcome unusable() const noexcept;
  AgentCore& agent() const noexcept { return *agent_; }
  ring::SpscChannel& ring() noexcept { return ring_; }

  std::span<std::byte> slot() noexcept;
  ChannelOutcome send(std::size_t payload_bytes, uint8_t content_type) noexcept;
  ChannelOutcome wait_for_room(uint64_t timeout_ns) noexcept;

  TakeOutcome take(std::span<const std::byte>& payload) noexcept;
  TakeOutcome take(std::span<const std::byte>& payload, uint64_t timeout_ns) noexcept;
  void release() noexcept;

 private:
  std::shared_ptr<AgentCore> agent_;
  uint32_t ring_id_;
  bool sender_;
  ring::SpscChannel ring_;
  Waiting waiting_;
  uint32_t last_rung_ = 0;
};

}  // namespace ripstop::detail
