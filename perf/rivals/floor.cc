// What the machine itself costs: the least any of the others could reach.
//
// Up to 64 bytes one word in one cache line goes to and fro and nothing else is written. Above, one
// buffer goes to and fro: written whole by the one, summed by the other, the same memory both ways.
// Sleeping, the word is a futex. Nothing is queued, so there is nothing to stream.
#include <cstdio>
#include <cstring>
#include <vector>

#include "futex.h"
#include "harness.h"
#include "shared_memory.h"

namespace rivals {
namespace {

constexpr std::size_t kPageBytes = 4096;

// Two lines each, so that no prefetcher of neighbours couples them.
struct alignas(128) Line {
  // The lower half of the sequence: a futex has 32 bits. Written by the link's sender.
  std::atomic<std::uint32_t> sequence_low;
};

class Floor {
 public:
  static std::string cannot(const Plan& plan) {
    if (plan.scenario == Scenario::Roundtrip || plan.scenario == Scenario::Cost) return "";
    return "a line that goes to and fro is no queue";
  }
  static std::size_t window(const Plan&) { return 0; }

  explicit Floor(const Plan& plan)
      : plan_(plan),
        memory_(kLinesBytes + plan.payload_bytes),
        lines_(reinterpret_cast<Line*>(memory_.data())) {}

  class Sender {
   public:
    Sender(Floor& floor, const Link& link, unsigned)
        : floor_(floor), line_(floor.lines_[link.index]) {
      floor.memory_.prefault();
    }
    void connected() {}
    template <class Fill>
    void send(std::size_t, Fill&& fill) {
      std::byte* buffer = floor_.buffer();
      fill(buffer);
      line_.sequence_low.store(static_cast<std::uint32_t>(first_word(buffer)),
                               std::memory_order_release);
      if (floor_.plan_.mode == Mode::Sleep) futex_wake(line_.sequence_low);
    }
    void flush() {}

   private:
    Floor& floor_;
    Line& line_;
  };

  class Receiver {
   public:
    Receiver(Floor& floor, const Link& link, unsigned)
        : floor_(floor), line_(floor.lines_[link.index]) {
      floor.memory_.prefault();
    }
    template <class Consume>
    bool receive(Consume&& consume) {
      std::uint32_t sequence = line_.sequence_low.load(std::memory_order_acquire);
      if (sequence == seen_ && floor_.plan_.mode == Mode::Sleep) {
        futex_wait(line_.sequence_low, seen_);
        sequence = line_.sequence_low.load(std::memory_order_acquire);
      }
      if (sequence == seen_) return false;
      seen_ = sequence;
      if (floor_.plan_.payload_bytes > 64) {
        consume(floor_.buffer());
        return true;
      }
      const std::uint64_t word = sequence == UINT32_MAX ? kStop : sequence;
      consume(reinterpret_cast<const std::byte*>(&word));
      return true;
    }

   private:
    Floor& floor_;
    Line& line_;
    std::uint32_t seen_ = 0;
  };

 private:
  static constexpr std::size_t kLinesBytes = 4096;

  // Up to 64 bytes the payload stays with its process.
  std::byte* buffer() { return plan_.payload_bytes > 64 ? memory_.data() + kLinesBytes : local_; }

  const Plan plan_;
  SharedMemory memory_;
  Line* lines_;
  alignas(64) std::byte local_[64]{};
};

int measure_memcpy(const Plan& plan) {
  (void)control();
  // Not at the same place of a page: copies between such blocks are slow for reasons of their own.
  const SharedMemory memory(2 * plan.payload_bytes + kPageBytes);
  const std::byte* from = memory.data();
  std::byte* to = memory.data() + (plan.payload_bytes + kPageBytes - 1) / kPageBytes * kPageBytes +
                  kPageBytes / 2;
  std::vector<std::uint64_t> samples;
  const std::uint64_t end = tsc() + static_cast<std::uint64_t>(plan.seconds * tsc_hz());
  while (tsc() < end) {
    const std::uint64_t begin = tsc();
    std::memcpy(to, from, plan.payload_bytes);
    asm volatile("" : : "r"(to) : "memory");  // The copy is not optimised away.
    samples.push_back(tsc() - begin);
  }
  std::nth_element(samples.begin(), samples.begin() + static_cast<long>(samples.size() / 2),
                   samples.end());
  const double ns = static_cast<double>(samples[samples.size() / 2]) * 1e9 / tsc_hz();
  std::printf("{\"samples\": %zu, \"p50_ns\": %.1f, \"bytes_per_s\": %.0f}\n", samples.size(), ns,
              static_cast<double>(plan.payload_bytes) * 1e9 / ns);
  return 0;
}

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  rivals::Plan plan = rivals::parse_plan(argc, argv);
  if (plan.scenario == rivals::Scenario::Memcpy) return rivals::measure_memcpy(plan);
  if (plan.payload_bytes <= 64) plan.touch = false;
  return rivals::run<rivals::Floor>(plan);
}
