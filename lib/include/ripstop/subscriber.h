// Receiving: take a message, read it in place, release it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ripstop/publisher.h"
#include "ripstop/types.h"

namespace ripstop {

namespace detail {
class SubscriberCore;
struct InHand;
struct Delivered;
class Inbox;
}  // namespace detail

struct SubscriberOptions {
  // Block shares the agent's inbox unless own_ring says otherwise; every other policy has a ring of
  // its own, because only there nobody else's messages are affected.
  Overflow overflow = Overflow::Block;
  bool own_ring = false;
  uint32_t slot_count = 0;  // Of a ring of its own, rounded up to a power of two; 0: as the normal lane.
};

template <class T>
class Subscriber;
template <class T>
class Message;

// What take() found: a message, or why there is none.
template <class M>
class [[nodiscard]] Take {
 public:
  Take(TakeOutcome outcome) noexcept : outcome_(outcome) {}  // NOLINT: implicit by design.
  Take(M message) noexcept : outcome_(TakeOutcome::Ok), message_(std::move(message)) {}  // NOLINT
  // Made where it will lie: a message that is moved at once waits for its own fields to be written.
  template <class... Parts>
  explicit Take(std::in_place_t, Parts&&... parts) noexcept
      : outcome_(TakeOutcome::Ok), message_(std::in_place, std::forward<Parts>(parts)...) {}

  TakeOutcome outcome() const noexcept { return outcome_; }
  explicit operator bool() const noexcept { return message_.has_value(); }
  M& operator*() noexcept { return *message_; }
  M* operator->() noexcept { return &*message_; }

 private:
  TakeOutcome outcome_;
  std::optional<M> message_;
};

// A message in hand, read where its publisher wrote it. Released when it ends.
//
// Thread:   its agent's receiving thread.
// Lifetime: bytes() and segments() end with it.
template <>
class Message<Bytes> {
 public:
  std::span<const std::byte> bytes() const noexcept { return {data_, payload_bytes_}; }
  std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data_), payload_bytes_}; }
  // Reads the header when asked: a plain delivery does not touch its second line.
  MessageInfo info() const noexcept;
  // The segments of a message that is chained over several chunks; the first is bytes().
  // A chain that is damaged ends early, and corrupt() says so.
  const std::vector<std::span<const std::byte>>& segments() const;
  bool corrupt() const noexcept { return corrupt_; }
  std::string topic() const;

  // Gives it back now. Revoked: it was in hand for too long (`soft_lease_ms`), and what was done with it is
  // done again.
  ReleaseOutcome release() noexcept { return inbox_ != nullptr ? give_back() : ReleaseOutcome::Gone; }

  Message(Message&& other) noexcept
      : inbox_(std::exchange(other.inbox_, nullptr)),
        in_hand_(other.in_hand_),
        data_(other.data_),
        payload_bytes_(other.payload_bytes_),
        corrupt_(other.corrupt_),
        segments_(std::move(other.segments_)) {}
  Message& operator=(Message&& other) noexcept {
    if (this == &other) return *this;
    release();
    inbox_ = std::exchange(other.inbox_, nullptr);
    in_hand_ = other.in_hand_;
    data_ = other.data_;
    payload_bytes_ = other.payload_bytes_;
    corrupt_ = other.corrupt_;
    segments_ = std::move(other.segments_);
    return *this;
  }
  ~Message() { release(); }

  // For the inbox.
  Message(detail::Inbox& inbox, const detail::Delivered& delivered) noexcept;

 private:
  ReleaseOutcome give_back() noexcept;

  detail::Inbox* inbox_;     // Null: released.
  detail::InHand* in_hand_;  // Where the delivery lies.
  const std::byte* data_;
  uint32_t payload_bytes_;
  mutable bool corrupt_ = false;
  mutable std::unique_ptr<std::vector<std::span<const std::byte>>> segments_;
};

template <>
class Subscriber<Bytes> {
 public:
  // The next message of this subscription, or Empty at once.
  Take<Message<Bytes>> take();
  // Waits for it as the agent's Wait says.
  Take<Message<Bytes>> take(std::chrono::nanoseconds timeout);
  // Up to `count` messages that are there now, appended to `messages`; returns how many.
  std::size_t take_batch(std::vector<Message<Bytes>>& messages, std::size_t count);

  std::string_view topic() const noexcept;
  uint32_t topic_id() const noexcept;
  uint64_t lost_count() const noexcept;       // Messages of a publisher that never came.
  uint64_t duplicate_count() const noexcept;  // Messages that came again.
  uint64_t dropped_count() const noexcept;    // Given up to the overflow policy.

  Subscriber(Subscriber&&) noexcept;
  Subscriber& operator=(Subscriber&&) noexcept;
  ~Subscriber();  // Unsubscribes. What still arrives is released and counted.

 private:
  friend class Agent;
  explicit Subscriber(std::unique_ptr<detail::SubscriberCore> core) noexcept;
  std::unique_ptr<detail::SubscriberCore> core_;
};

}  // namespace ripstop
