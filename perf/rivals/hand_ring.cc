// The classic single-producer single-consumer ring with the payload in its slots: what a good
// engineer writes by hand for one pair. No recovery, no routing, no names. A fan-out is a ring per
// receiver and a copy each, a fan-in a ring per sender, looked at in turn.
//
// Edges.  R(full) -> A(full)  a slot's bytes, producer to consumer.
//         R(free) -> A(free)  a slot's reuse, consumer to producer.
#include <algorithm>

#include "futex.h"
#include "harness.h"
#include "shared_memory.h"

namespace rivals {
namespace {

struct RingHeader {
  alignas(64) std::atomic<std::uint64_t> tail;  // Written by the producer.
  alignas(64) std::atomic<std::uint64_t> head;  // Written by the consumer.
};

struct alignas(64) Doorbell {
  std::atomic<std::uint32_t> armed;  // 1 while the receiver is about to sleep.
};

class HandRing {
 public:
  static std::string cannot(const Plan&) { return ""; }
  static std::size_t window(const Plan&) { return 0; }

  explicit HandRing(const Plan& plan)
      : plan_(plan),
        slot_count_(plan.queue_length()),
        slot_bytes_((plan.payload_bytes + 63) / 64 * 64),
        ring_bytes_(sizeof(RingHeader) + slot_count_ * slot_bytes_),
        rings_per_link_(plan.peers),
        memory_(kDoorbellsBytes + 2 * rings_per_link_ * ring_bytes_) {}

  class Sender {
   public:
    Sender(HandRing& rival, const Link& link, unsigned sender_index) : rival_(rival) {
      rival.memory_.prefault();
      for (unsigned i = 0; i < link.receiver_count; ++i) {
        out_.push_back({rival.ring(link, sender_index, i), rival.doorbell(link, i), 0, 0});
      }
    }
    void connected() {}
    template <class Fill>
    void send(std::size_t, Fill&& fill) {
      for (Out& out : out_) push(out, fill);
    }
    void flush() {}

   private:
    struct Out {
      RingHeader* ring;
      Doorbell* doorbell;
      std::uint64_t tail;
      std::uint64_t head_seen;
    };

    template <class Fill>
    void push(Out& out, Fill& fill) {
      while (out.tail - out.head_seen == rival_.slot_count_) {
        // A(free): pairs with R(free) in Receiver::receive.
        out.head_seen = out.ring->head.load(std::memory_order_acquire);
        if (out.tail - out.head_seen == rival_.slot_count_) wait_a_moment();
      }
      fill(rival_.slot(out.ring, out.tail));
      // R(full): pairs with A(full) in Receiver::poll.
      out.ring->tail.store(++out.tail, std::memory_order_release);
      if (rival_.plan_.mode == Mode::Sleep) ring_bell(*out.doorbell);
    }

    static void ring_bell(Doorbell& doorbell) {
      std::atomic_thread_fence(
          std::memory_order_seq_cst);  // The tail first, then the look at `armed`.
      if (doorbell.armed.load(std::memory_order_relaxed) == 0) return;
      if (doorbell.armed.exchange(0) == 1) futex_wake(doorbell.armed);
    }

    HandRing& rival_;
    std::vector<Out> out_;
  };

  class Receiver {
   public:
    Receiver(HandRing& rival, const Link& link, unsigned receiver_index)
        : rival_(rival), doorbell_(*rival.doorbell(link, receiver_index)) {
      rival.memory_.prefault();
      for (unsigned i = 0; i < link.sender_count; ++i)
        in_.push_back({rival.ring(link, i, receiver_index), 0});
    }
    template <class Consume>
    bool receive(Consume&& consume) {
      if (poll(consume)) return true;
      if (rival_.plan_.mode == Mode::Spin) return false;
      doorbell_.armed.store(1);
      std::atomic_thread_fence(
          std::memory_order_seq_cst);  // `armed` first, then the look at the rings.
      if (poll(consume)) {
        doorbell_.armed.store(0);
        return true;
      }
      futex_wait(doorbell_.armed, 1);
      return poll(consume);
    }

   private:
    struct In {
      RingHeader* ring;
      std::uint64_t head;
    };

    template <class Consume>
    bool poll(Consume& consume) {
      for (std::size_t i = 0; i < in_.size(); ++i) {
        In& in = in_[next_];
        next_ = next_ + 1 == in_.size() ? 0 : next_ + 1;
        // A(full): pairs with R(full) in Sender::push.
        if (in.ring->tail.load(std::memory_order_acquire) == in.head) continue;
        consume(rival_.slot(in.ring, in.head));
        // R(free): pairs with A(free) in Sender::push.
        in.ring->head.store(++in.head, std::memory_order_release);
        return true;
      }
      return false;
    }

    HandRing& rival_;
    Doorbell& doorbell_;
    std::vector<In> in_;
    std::size_t next_ = 0;
  };

 private:
  static constexpr std::size_t kDoorbellsBytes = 8192;

  RingHeader* ring(const Link& link, unsigned sender_index, unsigned receiver_index) {
    const std::size_t index = link.index * rings_per_link_ + std::max(sender_index, receiver_index);
    return reinterpret_cast<RingHeader*>(memory_.data() + kDoorbellsBytes + index * ring_bytes_);
  }
  Doorbell* doorbell(const Link& link, unsigned receiver_index) {
    return reinterpret_cast<Doorbell*>(memory_.data()) + link.index + receiver_index;
  }
  std::byte* slot(RingHeader* ring, std::uint64_t position) const {
    return reinterpret_cast<std::byte*>(ring + 1) + (position & (slot_count_ - 1)) * slot_bytes_;
  }

  const Plan plan_;
  const std::size_t slot_count_;
  const std::size_t slot_bytes_;
  const std::size_t ring_bytes_;
  const std::size_t rings_per_link_;
  SharedMemory memory_;
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::HandRing>(rivals::parse_plan(argc, argv));
}
