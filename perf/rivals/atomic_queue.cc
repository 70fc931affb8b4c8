// Maxim Egorushkin's atomic_queue, multi-producer multi-consumer, in shared memory.
#include <atomic_queue/atomic_queue.h>

#include <new>

#include "bare_ring.h"

namespace rivals {
namespace {

struct AtomicQueues {
  using Lines = atomic_queue::AtomicQueue2<Line, kRingLength>;
  using Numbers = atomic_queue::AtomicQueue<std::uint64_t, 2 * kRingLength>;

  static std::size_t lines_bytes() { return sizeof(Lines); }
  static std::size_t numbers_bytes() { return sizeof(Numbers); }
  static void make_lines(void* at) { new (at) Lines; }
  static void make_numbers(void* at) { new (at) Numbers; }
  static bool push_line(void* at, const Line& line) {
    return static_cast<Lines*>(at)->try_push(line);
  }
  static bool take_line(void* at, Line& line) { return static_cast<Lines*>(at)->try_pop(line); }
  static bool push_number(void* at, std::uint64_t number) {
    return static_cast<Numbers*>(at)->try_push(number);
  }
  static bool take_number(void* at, std::uint64_t& number) {
    return static_cast<Numbers*>(at)->try_pop(number);
  }
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::BareRing<rivals::AtomicQueues>>(rivals::parse_plan(argc, argv));
}
