// Publishing: loan a chunk, build the message in it, send it. Nothing is copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "ripstop/result.h"
#include "ripstop/types.h"

namespace ripstop {

namespace detail {
class AgentCore;
class PublisherCore;
}  // namespace detail

// The payload type for plain spans of bytes.
struct Bytes {};

struct PublisherOptions {
  Priority priority = Priority::Normal;  // Used by sends that do not say their own.
  // Cap'n Proto: how much of a chunk the first segment asks for. 0: the smallest class.
  std::size_t first_segment_bytes = 0;
};

template <class T>
class Publisher;
template <class T>
class Loan;

// A chunk that is being filled. Dropped without send, it was never seen by anybody.
//
// Thread:   its publisher's.
// Lifetime: ends before its publisher.
template <>
class Loan<Bytes> {
 public:
  // The payload, of the size that was asked for. Not cleared.
  std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  // Room in the chunk: at least the size asked for.
  std::size_t capacity() const noexcept { return capacity_; }
  // Says how many bytes the message has; at most capacity().
  // Returns false, and changes nothing, when it is more.
  bool resize(std::size_t payload_bytes) noexcept;

  // Commits. The loan is over, whatever the outcome: on any but Delivered and Partial nobody has it.
  Sent send(const SendOptions& options) noexcept;
  Sent send() noexcept;

  Loan(Loan&& other) noexcept
      : publisher_(std::exchange(other.publisher_, nullptr)),
        data_(other.data_),
        generation_(other.generation_),
        size_(other.size_),
        capacity_(other.capacity_),
        chunk_(other.chunk_),
        class_index_(other.class_index_) {}
  Loan& operator=(Loan&& other) noexcept {
    if (this == &other) return *this;
    if (publisher_ != nullptr) abort();
    publisher_ = std::exchange(other.publisher_, nullptr);
    data_ = other.data_;
    generation_ = other.generation_;
    size_ = other.size_;
    capacity_ = other.capacity_;
    chunk_ = other.chunk_;
    class_index_ = other.class_index_;
    return *this;
  }
  ~Loan() {
    if (publisher_ != nullptr) abort();
  }

 private:
  friend class Publisher<Bytes>;
  friend class detail::PublisherCore;
  Loan() = default;
  void abort() noexcept;

  detail::PublisherCore* publisher_ = nullptr;  // Null: over.
  std::byte* data_ = nullptr;
  uint64_t generation_ = 0;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
  uint32_t chunk_ = 0;
  uint32_t class_index_ = 0;
};

template <>
class Publisher<Bytes> {
 public:
  // A chunk for `payload_bytes` bytes.
  // Errors: TooLarge (names the largest class), PoolEmpty (names the class and who holds it), Forked.
  Result<Loan<Bytes>> loan(std::size_t payload_bytes);

  // All of `count` loans or none.
  // Errors: as loan().
  Result<std::vector<Loan<Bytes>>> loan_batch(std::size_t count, std::size_t payload_bytes);

  // Sends them in order and wakes each receiver at most once. The i-th Sent is the i-th loan's.
  std::vector<Sent> send_batch(std::span<Loan<Bytes>> loans, const SendOptions& options);

  // Loans, copies and sends: for small payloads that exist already.
  // Errors: as loan(). The Sent says how the send went.
  Result<Sent> send_copy(std::span<const std::byte> payload, const SendOptions& options);
  Result<Sent> send_copy(std::string_view payload, const SendOptions& options);
  Result<Sent> send_copy(std::string_view payload);

  std::string_view topic() const noexcept;
  uint32_t topic_id() const noexcept;
  // The last sequence this publisher committed. It goes on where the last agent of this name stopped on the topic,
  // if that one ended less than the grace time ago (successor_grace_ms): so a publisher that was restarted learns,
  // before its first send, what it had sent.
  uint64_t sequence() const noexcept;
  // How many receivers the topic has now.
  uint32_t receiver_count() const noexcept;

  Publisher(Publisher&&) noexcept;
  Publisher& operator=(Publisher&&) noexcept;
  ~Publisher();

  // For the typed front.
  detail::PublisherCore* core() const noexcept { return core_.get(); }

 private:
  friend class Agent;
  explicit Publisher(std::unique_ptr<detail::PublisherCore> core) noexcept;
  std::unique_ptr<detail::PublisherCore> core_;
};

}  // namespace ripstop
