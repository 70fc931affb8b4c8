// The typed front: Cap'n Proto messages built and read in place.
//
//   auto tasks = agent->publisher<Task>("agent.planner.task.assign");
//   auto task = tasks->loan();
//   task->root().setGoal("mend the net");
//   const Sent sent = task->send();
//
//   auto inbox = other->subscriber<Task>("agent.planner.task.assign");
//   if (auto task = inbox->take(1s)) use(task->root().getGoal());
//
// No call of ours throws. Cap'n Proto's own accessors do (kj::Exception) when a message was damaged
// behind its root. Only this header names Cap'n Proto's types; byte users need not include it.
#pragma once

#include <capnp/any.h>
#include <capnp/message.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ripstop/channel.h"
#include "ripstop/publisher.h"
#include "ripstop/result.h"
#include "ripstop/subscriber.h"
#include "ripstop/types.h"

namespace ripstop {

namespace detail {

// A loaned chunk, as the typed front carries it.
struct ChunkHandle {
  void* header = nullptr;
  uint64_t generation = 0;
  uint32_t chunk = 0;
  uint32_t class_index = 0;
};

// Builds a message in loaned chunks: one chunk for each segment.
class CapnpBuilder final : public ::capnp::MessageBuilder {
 public:
  CapnpBuilder(PublisherCore& publisher, const ChunkHandle& first) noexcept;
  CapnpBuilder(const CapnpBuilder&) = delete;
  CapnpBuilder& operator=(const CapnpBuilder&) = delete;
  ~CapnpBuilder() noexcept(false) override;

  ::kj::ArrayPtr<::capnp::word> allocateSegment(::capnp::uint minimum_words) override;
  // Sends what was built; PoolEmpty when the pool ran dry while it was built. `known_bytes`: the size of a
  // message that is a struct without pointers; 0: ask the arena.
  Sent send(const SendOptions& options, uint32_t known_bytes = 0) noexcept;
  // Why a further segment could not be had, if one could not.
  const std::optional<Error>& failure() const noexcept { return failure_; }

 private:
  struct Further;  // Segments behind the first, and what stood in for those that were refused.
  Further& further();

  PublisherCore& publisher_;
  ChunkHandle first_;
  bool first_used_ = false;
  bool over_ = false;
  std::unique_ptr<Further> further_;
  std::optional<Error> failure_;
};

// The builders of one typed publisher: kept, so that a message costs no allocation, and one of them
// ready with its chunk, so that the next loan finds a root to fill.
// Thread: its publisher's.
class CapnpBuilders {
 public:
  explicit CapnpBuilders(Publisher<Bytes> publisher) noexcept : publisher_(std::move(publisher)) {}

  struct Slot {
    std::optional<CapnpBuilder> builder;
    bool in_use = false;
  };
  // A builder with its first chunk. Errors: as Publisher<Bytes>::loan().
  Result<Slot*> acquire();
  // The message was sent or dropped.
  void release(Slot& slot) noexcept;

  Publisher<Bytes>& publisher() noexcept { return publisher_; }

 private:
  Publisher<Bytes> publisher_;
  std::vector<std::unique_ptr<Slot>> slots_;
};

// A message lies in our memory already: reading it often is no attack, so traversal is not limited.
inline ::capnp::ReaderOptions reader_options() noexcept {
  ::capnp::ReaderOptions options;
  options.traversalLimitInWords = ~uint64_t{0} >> 8;
  return options;
}

// The size of a message whose root is a T, if that is the same for all of them; else 0.
template <class T>
inline constexpr uint32_t kFixedBytes =
    T::_capnpPrivate::pointerCount == 0 ? (1 + T::_capnpPrivate::dataWordSize) * uint32_t{sizeof(::capnp::word)} : 0;

// The root of a message that is one struct without pointers. Nothing leads out of it, so that knowing where
// it lies is enough, and its reader needs no arena. Nothing when the segment is something else: then a
// CapnpReader says what is wrong with it.
//
// How it works: the unchecked reader copies the root pointer's fields as it reads them, and is thrown away
// when they lead out of the segment, whoever changed them meanwhile. Without pointers it has checked itself.
template <class T>
std::optional<typename T::Reader> flat_root(std::span<const std::byte> segment) {
  if (segment.size() < sizeof(::capnp::word)) return std::nullopt;
  const auto root = ::capnp::readMessageUnchecked<T>(reinterpret_cast<const ::capnp::word*>(segment.data()));
  const ::capnp::AnyStruct::Reader any(root);
  const auto data = any.getDataSection();
  const auto offset_bytes =
      reinterpret_cast<std::uintptr_t>(data.begin()) - reinterpret_cast<std::uintptr_t>(segment.data());
  if (any.getPointerSection().size() != 0 || offset_bytes > segment.size() || data.size() > segment.size() - offset_bytes) {
    return std::nullopt;
  }
  return root;
}

// Reads the segments of a message in place.
class CapnpReader final : public ::capnp::MessageReader {
 public:
  explicit CapnpReader(const Message<Bytes>& message);
  ::kj::ArrayPtr<const ::capnp::word> getSegment(::capnp::uint id) override;

 private:
  const Message<Bytes>& message_;
};

// Reads or builds a message that lies in one slot of a channel.
class SlotBuilder final : public ::capnp::MessageBuilder {
 public:
  explicit SlotBuilder(std::span<std::byte> slot) noexcept : slot_(slot) {}
  ~SlotBuilder() noexcept(false) override = default;
  ::kj::ArrayPtr<::capnp::word> allocateSegment(::capnp::uint minimum_words) override;
  // Bytes used, or 0 when the message did not fit.
  std::size_t used_bytes() noexcept;

 private:
  std::span<std::byte> slot_;
  std::vector<std::unique_ptr<std::vector<::capnp::word>>> overflow_;
};

class SlotReader final : public ::capnp::MessageReader {
 public:
  explicit SlotReader(std::span<const std::byte> payload) noexcept
      : ::capnp::MessageReader(reader_options()), payload_(payload) {}
  ::kj::ArrayPtr<const ::capnp::word> getSegment(::capnp::uint id) override;

 private:
  std::span<const std::byte> payload_;
};

Priority priority_of(const PublisherCore& publisher) noexcept;
// Errors: Forked, SupervisorGone: a chunk made ready before is not ours any more.
Result<void> check_usable(PublisherCore& publisher);

}  // namespace detail

// A message that is being built. Dropped without send, it was never seen by anybody.
// Lifetime: ends before its publisher; builders taken from root() end with it.
template <class T>
class Loan {
 public:
  typename T::Builder root() { return root_; }

  // Commits. When the pool ran dry while the message was built, nothing is sent and the outcome is
  // PoolEmpty; failure() says more.
  Sent send(const SendOptions& options) noexcept {
    if (state_ == nullptr) return Sent{SendOutcome::Detached, 0, 0, 0, 0};
    return send_first(options);
  }
  Sent send() noexcept {
    SendOptions options;
    if (state_ != nullptr) options.priority = detail::priority_of(*state_->builders.publisher().core());
    return send(options);
  }
  const std::optional<Error>& failure() const noexcept { return failure_; }

  Loan(Loan&& other) noexcept
      : state_(std::exchange(other.state_, nullptr)), slot_(other.slot_), root_(other.root_), failure_(std::move(other.failure_)) {}
  Loan& operator=(Loan&& other) noexcept {
    if (this == &other) return *this;
    if (state_ != nullptr) state_->finish(*slot_);
    state_ = std::exchange(other.state_, nullptr);
    slot_ = other.slot_;
    root_ = other.root_;
    failure_ = std::move(other.failure_);
    return *this;
  }
  ~Loan() {
    if (state_ != nullptr) state_->finish(*slot_);
  }

 private:
  friend class Publisher<T>;
  using State = typename Publisher<T>::State;
  // One object from the publisher to the caller.
  Sent send_first(const SendOptions& options) noexcept {
    Sent sent = slot_->builder->send(options, detail::kFixedBytes<T>);
    if (slot_->builder->failure()) [[unlikely]] failure_ = slot_->builder->failure();
    std::exchange(state_, nullptr)->finish(*slot_);
    return sent;
  }
  Loan(State& state, detail::CapnpBuilders::Slot& slot, typename T::Builder root) noexcept
      : state_(&state), slot_(&slot), root_(root) {}

  State* state_;  // Null: over.
  detail::CapnpBuilders::Slot* slot_;
  typename T::Builder root_;
  std::optional<Error> failure_;
};

template <class T>
class Publisher {
 public:
  explicit Publisher(Publisher<Bytes> bytes) : state_(std::make_unique<State>(std::move(bytes))) {}

  // Errors: PoolEmpty, TooLarge, SendersFull, Forked, SupervisorGone (detached).
  Result<Loan<T>> loan() {
    if (auto usable = detail::check_usable(*state_->builders.publisher().core()); !usable) return usable.error();
    if (state_->ready == nullptr) {
      if (auto prepared = state_->prepare(); !prepared) return prepared.error();
    }
    auto* slot = std::exchange(state_->ready, nullptr);
    return Loan<T>(*state_, *slot, state_->ready_root);
  }

  std::string_view topic() const noexcept { return state_->builders.publisher().topic(); }
  uint32_t topic_id() const noexcept { return state_->builders.publisher().topic_id(); }
  uint64_t sequence() const noexcept { return state_->builders.publisher().sequence(); }
  uint32_t receiver_count() const noexcept { return state_->builders.publisher().receiver_count(); }

 private:
  friend class Loan<T>;
  struct State {
    explicit State(Publisher<Bytes> bytes) noexcept : builders(std::move(bytes)) {}

    Result<void> prepare() {
      auto slot = builders.acquire();
      if (!slot) return slot.error();
      ready = *slot;
      ready_root = ready->builder->template initRoot<T>();
      return {};
    }
    // While the message is on its way, the next one is made ready. What fails is tried again by loan().
    void finish(detail::CapnpBuilders::Slot& slot) noexcept {
      builders.release(slot);
      if (ready == nullptr) (void)prepare();
    }

    detail::CapnpBuilders builders;
    detail::CapnpBuilders::Slot* ready = nullptr;
    typename T::Builder ready_root{nullptr};
  };
  std::unique_ptr<State> state_;
};

// A message in hand, read where it was built. Released when it ends.
// Lifetime: readers taken from root() end with it, and when it is moved.
template <class T>
class Message {
 public:
  explicit Message(Message<Bytes> bytes) noexcept : bytes_(std::move(bytes)) {}
  Message(Message&& other) noexcept : bytes_(std::move(other.bytes_)), malformed_(other.malformed_) {
    other.reader_.reset();
  }
  Message& operator=(Message&& other) noexcept {
    reader_.reset();
    other.reader_.reset();
    bytes_ = std::move(other.bytes_);
    malformed_ = other.malformed_;
    return *this;
  }

  // The root; all defaults, and malformed() true, when the bytes are no message of this kind.
  typename T::Reader root() {
    try {
      if constexpr (detail::kFixedBytes<T> != 0) {
        if (const auto root = detail::flat_root<T>(bytes_.bytes())) return *root;
      }
      if (!reader_) reader_.emplace(bytes_);
      return reader_->template getRoot<T>();
    } catch (...) {
      malformed_ = true;
      return typename T::Reader();
    }
  }
  bool malformed() const noexcept { return malformed_ || bytes_.corrupt(); }
  MessageInfo info() const noexcept { return bytes_.info(); }
  std::string topic() const { return bytes_.topic(); }
  ReleaseOutcome release() noexcept {
    reader_.reset();
    return bytes_.release();
  }

 private:
  Message<Bytes> bytes_;
  std::optional<detail::CapnpReader> reader_;
  bool malformed_ = false;
};

template <class T>
class Subscriber {
 public:
  explicit Subscriber(Subscriber<Bytes> bytes) noexcept : bytes_(std::move(bytes)) {}

  Take<Message<T>> take() { return typed(bytes_.take()); }
  Take<Message<T>> take(std::chrono::nanoseconds timeout) { return typed(bytes_.take(timeout)); }
  std::size_t take_batch(std::vector<Message<T>>& messages, std::size_t count) {
    std::vector<Message<Bytes>> taken;
    const std::size_t taken_count = bytes_.take_batch(taken, count);
    for (Message<Bytes>& message : taken) messages.emplace_back(std::move(message));
    return taken_count;
  }

  std::string_view topic() const noexcept { return bytes_.topic(); }
  uint32_t topic_id() const noexcept { return bytes_.topic_id(); }
  uint64_t lost_count() const noexcept { return bytes_.lost_count(); }
  uint64_t duplicate_count() const noexcept { return bytes_.duplicate_count(); }
  uint64_t dropped_count() const noexcept { return bytes_.dropped_count(); }

 private:
  static Take<Message<T>> typed(Take<Message<Bytes>> taken) {
    if (!taken) return taken.outcome();
    return Take<Message<T>>(std::in_place, std::move(*taken));
  }
  Subscriber<Bytes> bytes_;
};

// A channel of Cap'n Proto messages that fit into one slot.
template <class T>
class Channel {
 public:
  class Sender {
   public:
    explicit Sender(Channel<Bytes>::Sender bytes) noexcept : bytes_(std::move(bytes)) {}
    // `fill` gets a T::Builder in the slot. TooLarge: it built more than the slot holds, nothing was sent.
    template <class Fill>
    ChannelOutcome send(Fill fill) {
      std::span<std::byte> slot = bytes_.slot();
      if (slot.empty()) {
        const ChannelOutcome outcome = bytes_.wait_for_room(std::chrono::nanoseconds::zero());
        if (outcome != ChannelOutcome::Ok) return outcome;
        slot = bytes_.slot();
        if (slot.empty()) return ChannelOutcome::Full;
      }
      detail::SlotBuilder builder(slot);
      fill(builder.template initRoot<T>());
      const std::size_t used_bytes = builder.used_bytes();
      return used_bytes == 0 ? ChannelOutcome::TooLarge : bytes_.send(used_bytes);
    }
    ChannelOutcome wait_for_room(std::chrono::nanoseconds timeout) noexcept { return bytes_.wait_for_room(timeout); }
    uint64_t sequence() const noexcept { return bytes_.sequence(); }

   private:
    Channel<Bytes>::Sender bytes_;
  };

  class Receiver {
   public:
    explicit Receiver(Channel<Bytes>::Receiver bytes) noexcept : bytes_(std::move(bytes)) {}
    // `use` gets a T::Reader of the next message in its slot, which is released afterwards.
    template <class Use>
    TakeOutcome take(Use use, std::chrono::nanoseconds timeout = std::chrono::nanoseconds::zero()) {
      std::span<const std::byte> payload;
      const TakeOutcome outcome = timeout.count() == 0 ? bytes_.take(payload) : bytes_.take(payload, timeout);
      if (outcome != TakeOutcome::Ok) return outcome;
      try {
        detail::SlotReader reader(payload);
        use(reader.template getRoot<T>());
      } catch (const ::kj::Exception&) {
        bytes_.release();
        return TakeOutcome::Corrupt;
      }
      bytes_.release();
      return TakeOutcome::Ok;
    }
    uint64_t sequence() const noexcept { return bytes_.sequence(); }
    bool repeated() const noexcept { return bytes_.repeated(); }

   private:
    Channel<Bytes>::Receiver bytes_;
  };
};

}  // namespace ripstop
