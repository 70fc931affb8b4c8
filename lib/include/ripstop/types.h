// The words of the fabric that users, tools and the library share.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace ripstop {

// Lower value, more urgent. Every inbox has one lane for each.
enum class Priority : uint8_t { Critical = 0, High = 1, Normal = 2, Low = 3, Background = 4 };
inline constexpr std::size_t kPriorityCount = 5;
std::string_view to_string(Priority priority) noexcept;

// What happens to a message that meets a full lane. Chosen by the subscription.
enum class Overflow : uint8_t {
  Block = 0,       // The publisher waits, for as long as its SendOptions say.
  Fail = 1,        // The publisher is told at once: Sent::full_count.
  DropNewest = 2,  // The new message is not delivered to this receiver; both sides count it.
  DropOldest = 3,  // The oldest message of the lane makes room; both sides count it.
};
std::string_view to_string(Overflow overflow) noexcept;

// How a receiver waits for the next message.
enum class Wait : uint8_t {
  Adaptive = 0,  // Spins for as long as that has been paying off, then sleeps.
  Spin = 1,      // Never sleeps: lowest latency, a whole core.
  Sleep = 2,     // Sleeps at once: least CPU.
};

// What the bytes are. The fabric carries it; tools decode by it.
enum class ContentType : uint8_t { Bytes = 0, Capnp = 1, Text = 2, Json = 3, MsgPack = 4, Arrow = 5, User = 64 };
std::string_view to_string(ContentType type) noexcept;

// W3C trace context: all zero when there is none.
struct Trace {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  bool sampled = false;
};

struct SendOptions {
  Priority priority = Priority::Normal;
  // How long a full lane of a Block subscription may hold the publisher up. Zero: not at all.
  std::chrono::nanoseconds timeout = std::chrono::seconds(5);
  // Nobody needs the message after this time on ripstop::now_ns()'s clock; 0: no deadline.
  uint64_t deadline_ns = 0;
  uint64_t correlation = 0;
  Trace trace{};
  ContentType content_type = ContentType::Bytes;  // Typed publishers say Capnp by themselves.
  uint32_t schema_id = 0;
};

enum class SendOutcome : uint8_t {
  Delivered = 0,   // Every receiver of the topic has it in its inbox.
  NoReceiver = 1,  // Nobody subscribes to the topic: nothing was sent.
  Partial = 2,     // Some receivers have it, the others were full, gone or dropped it.
  Full = 3,        // No receiver had room, in the time allowed.
  Gone = 4,        // The receivers ended while the message was on its way.
  Expired = 5,     // The deadline had passed before the send.
  Corrupt = 6,     // Shared memory is damaged; see the counters.
  Forked = 7,      // Called in a child process: attach there anew.
  PoolEmpty = 8,   // No memory for the list of receivers: nothing was sent.
  Detached = 9,    // The agent or its supervisor is gone, the loan is no longer ours.
  Unnamed = 10,    // A new topic's supervisor, who names it, is away: nothing was sent, send it again.
};
std::string_view to_string(SendOutcome outcome) noexcept;

// The truth about one send. "Reached" means: committed to the receiver's inbox, not yet read.
struct [[nodiscard]] Sent {
  SendOutcome outcome = SendOutcome::NoReceiver;
  uint32_t receiver_count = 0;  // Receivers reached.
  uint32_t full_count = 0;      // Receivers whose lane stayed full, or who drop what is new.
  uint32_t gone_count = 0;      // Receivers that ended while the message was on its way.
  // This publisher's number of the message on this topic, from 1; 0 if it was never committed. A number
  // that reached nobody (Full or Gone after the commit) is missing at the receivers, who count it so.
  uint64_t sequence = 0;

  explicit operator bool() const noexcept { return outcome == SendOutcome::Delivered; }
};

// Prints one line about `sent` to standard error and returns 1, or 0 if all receivers were reached.
int explain(const Sent& sent);

enum class TakeOutcome : uint8_t {
  Ok = 0,
  Empty = 1,     // Nothing there, or nothing within the timeout.
  HeldFull = 2,  // The agent holds as many messages as it may: release some.
  Corrupt = 3,   // A message whose words are out of bounds was set aside and counted.
  Forked = 4,    // Called in a child process: attach there anew.
  Detached = 5,  // The agent is closed, or its subscription has ended.
};
std::string_view to_string(TakeOutcome outcome) noexcept;

// What became of a message that was given back.
enum class ReleaseOutcome : uint8_t {
  Ok = 0,
  Revoked = 1,  // It was in hand for longer than its lease and went on without us: somebody handles it again.
  Gone = 2,     // It was not ours any more: released before, or its subscription or agent has ended.
};
std::string_view to_string(ReleaseOutcome outcome) noexcept;

// What a message says of itself, beside its payload.
struct MessageInfo {
  uint64_t sequence = 0;         // The publisher's number on this topic, from 1.
  uint64_t publish_time_ns = 0;  // On now_ns()'s clock.
  uint64_t deadline_ns = 0;      // 0: none.
  uint64_t correlation = 0;
  Trace trace{};
  uint32_t topic_id = 0;
  uint32_t source_id = 0;  // The publishing agent's slot in the registry.
  uint32_t schema_id = 0;
  uint32_t payload_bytes = 0;  // Of the first segment.
  uint8_t attempt = 0;         // Earlier deliveries of this message that were not finished.
  Priority priority = Priority::Normal;
  ContentType content_type = ContentType::Bytes;
};

// The fabric's clock: CLOCK_MONOTONIC, in nanoseconds, the same in every process of the host.
uint64_t now_ns() noexcept;

// Limits of names: agents, fabrics and channels match [A-Za-z0-9_.-]{1,64}; topics are 1-16 tokens
// of [A-Za-z0-9_-]+ joined by dots, at most 255 bytes. So are patterns, with `*` for any one token, and
// with `**` (or `#`) as the last one for any number of tokens, none included.
inline constexpr std::size_t kNameBytesMax = 64;
inline constexpr std::size_t kTopicBytesMax = 255;
inline constexpr std::size_t kTopicTokensMax = 16;

}  // namespace ripstop
