// A bare multi-producer multi-consumer ring as a rival: `Queues` says which ring.
//
//   struct Queues {
//     using Line = std::array<std::byte, 64>;
//     // Rings in memory all processes share; made once by the parent.
//     static std::size_t lines_bytes();    static void make_lines(void*);
//     static std::size_t numbers_bytes();  static void make_numbers(void*);
//     static bool push_line(void*, const Line&);         static bool take_line(void*, Line&);
//     static bool push_number(void*, std::uint64_t);     static bool take_number(void*, std::uint64_t&);
//   };
//
// Up to 64 bytes the payload is the ring's element. Above, it lies in one of `queue_length` slots: the
// ring carries the slot's number, a second ring carries it back. A fan-out has a ring, and a copy, per
// receiver. No recovery, no routing, and no way to sleep.
#pragma once

#include <array>

#include "harness.h"
#include "shared_memory.h"

namespace rivals {

using Line = std::array<std::byte, 64>;
inline constexpr std::size_t kRingLength = 1024;

template <class Queues>
class BareRing {
 public:
  static std::string cannot(const Plan& plan) {
    return plan.mode == Mode::Sleep ? "a bare ring has no way to sleep" : "";
  }
  static std::size_t window(const Plan&) { return 0; }

  explicit BareRing(const Plan& plan)
      : plan_(plan),
        ring_bytes_((std::max(Queues::lines_bytes(), 2 * numbers_bytes()) + 127) / 128 * 128),
        slots_bytes_(inside() ? 0 : plan.queue_length() * plan.payload_bytes),
        memory_(2 * plan.peers * (ring_bytes_ + slots_bytes_)) {
    for (unsigned i = 0; i < 2 * plan.peers; ++i) make_way(i);
  }

  class Sender {
   public:
    Sender(BareRing& rival, const Link& link, unsigned) : rival_(rival) {
      rival.memory_.prefault();
      for (unsigned i = 0; i < link.receiver_count; ++i) ways_.push_back(rival.way(link.index + i));
    }
    void connected() {}
    template <class Fill>
    void send(std::size_t, Fill&& fill) {
      for (const Way& way : ways_) {
        if (rival_.inside()) {
          fill(line_.data());
          while (!Queues::push_line(way.full, line_)) wait_a_moment();
        } else {
          std::uint64_t number = 0;
          while (!Queues::take_number(way.free, number)) wait_a_moment();
          fill(rival_.slot(way, number));
          while (!Queues::push_number(way.full, number)) wait_a_moment();
        }
      }
    }
    void flush() {}

   private:
    BareRing& rival_;
    std::vector<typename BareRing::Way> ways_;
    alignas(64) Line line_{};
  };

  class Receiver {
   public:
    Receiver(BareRing& rival, const Link& link, unsigned receiver_index)
        : rival_(rival), way_(rival.way(link.index + receiver_index)) {
      rival.memory_.prefault();
    }
    template <class Consume>
    bool receive(Consume&& consume) {
      if (rival_.inside()) {
        if (!Queues::take_line(way_.full, line_)) return false;
        consume(line_.data());
        return true;
      }
      std::uint64_t number = 0;
      if (!Queues::take_number(way_.full, number)) return false;
      consume(rival_.slot(way_, number));
      while (!Queues::push_number(way_.free, number)) wait_a_moment();
      return true;
    }

   private:
    BareRing& rival_;
    typename BareRing::Way way_;
    alignas(64) Line line_{};
  };

 private:
  // One ring to a receiver, and for larger messages the ring of free slots and the slots.
  struct Way {
    void* full;
    void* free;
    std::byte* slots;
  };

  static std::size_t numbers_bytes() { return (Queues::numbers_bytes() + 127) / 128 * 128; }
  bool inside() const { return plan_.payload_bytes <= sizeof(Line); }

  Way way(unsigned index) const {
    std::byte* start = memory_.data() + index * (ring_bytes_ + slots_bytes_);
    return {start, start + numbers_bytes(), start + ring_bytes_};
  }
  std::byte* slot(const Way& way, std::uint64_t number) const {
    return way.slots + (number - 1) * plan_.payload_bytes;
  }

  // Slots are numbered from 1: some rings take 0 for an empty place.
  void make_way(unsigned index) const {
    const Way made = way(index);
    if (inside()) return Queues::make_lines(made.full);
    Queues::make_numbers(made.full);
    Queues::make_numbers(made.free);
    for (std::uint64_t number = 1; number <= plan_.queue_length(); ++number) {
      if (!Queues::push_number(made.free, number)) fail("the ring of free slots is too short");
    }
  }

  const Plan plan_;
  const std::size_t ring_bytes_;
  const std::size_t slots_bytes_;
  SharedMemory memory_;
};

}  // namespace rivals
