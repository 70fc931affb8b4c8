// A channel: one sender, one receiver, payload in the slot. The lowest latency there is here; no
// topic, no fan-out, no priorities.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "ripstop/publisher.h"
#include "ripstop/result.h"
#include "ripstop/subscriber.h"
#include "ripstop/types.h"

namespace ripstop {

namespace detail {
class ChannelCore;
}  // namespace detail

struct ChannelOptions {
  uint32_t payload_bytes = 112;  // The largest payload of a slot.
  uint32_t slot_count = 256;     // Rounded up to a power of two.
};

enum class ChannelOutcome : uint8_t {
  Ok = 0,
  Full = 1,      // The receiver is behind by the whole channel.
  TooLarge = 2,  // The payload exceeds the slot.
  Corrupt = 3,
  Forked = 4,
  Detached = 5,
};

template <class T>
class Channel;

template <>
class Channel<Bytes> {
 public:
  class Sender {
   public:
    // The next slot to fill in place; empty when the channel is full. Asking again gives the same slot.
    std::span<std::byte> slot() noexcept;
    // Hands over the first `payload_bytes` bytes of slot().
    ChannelOutcome send(std::size_t payload_bytes) noexcept;
    // Copies and hands over.
    ChannelOutcome send_copy(std::span<const std::byte> payload) noexcept;
    // Waits until there is room, or the timeout is over.
    ChannelOutcome wait_for_room(std::chrono::nanoseconds timeout) noexcept;

    uint64_t sequence() const noexcept;  // Of the last message handed over.
    std::size_t payload_bytes_max() const noexcept;

    Sender(Sender&&) noexcept;
    Sender& operator=(Sender&&) noexcept;
    ~Sender();

   private:
    friend class Agent;
    explicit Sender(std::unique_ptr<detail::ChannelCore> core) noexcept;
    std::unique_ptr<detail::ChannelCore> core_;
  };

  class Receiver {
   public:
    // The next payload, in place until release(); Empty at once when there is none.
    // Shape: a view of the slot. Taking again before release() gives the same one.
    TakeOutcome take(std::span<const std::byte>& payload) noexcept;
    TakeOutcome take(std::span<const std::byte>& payload, std::chrono::nanoseconds timeout) noexcept;
    // Gives the slot back.
    void release() noexcept;

    uint64_t sequence() const noexcept;  // Of the payload in hand.
    // The payload in hand was sent before this receiver came: an earlier one may have had it already.
    bool repeated() const noexcept;

    Receiver(Receiver&&) noexcept;
    Receiver& operator=(Receiver&&) noexcept;
    ~Receiver();

   private:
    friend class Agent;
    explicit Receiver(std::unique_ptr<detail::ChannelCore> core) noexcept;
    std::unique_ptr<detail::ChannelCore> core_;
  };
};

}  // namespace ripstop
