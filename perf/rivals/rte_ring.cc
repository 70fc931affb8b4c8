// DPDK's rte_ring, multi-producer multi-consumer, on our own shared memory and without its EAL.
#include <rte_ring.h>
#include <rte_ring_elem.h>

#include "bare_ring.h"

namespace rivals {
namespace {

struct RteRings {
  static std::size_t bytes(unsigned element_bytes, unsigned length) {
    return static_cast<std::size_t>(rte_ring_get_memsize_elem(element_bytes, length));
  }
  static void make(void* at, unsigned length) {
    if (rte_ring_init(static_cast<rte_ring*>(at), "perf", length, 0) != 0) fail("rte_ring_init");
  }
  static rte_ring* ring(void* at) { return static_cast<rte_ring*>(at); }

  static std::size_t lines_bytes() { return bytes(sizeof(Line), kRingLength); }
  static std::size_t numbers_bytes() { return bytes(sizeof(std::uint64_t), 2 * kRingLength); }
  static void make_lines(void* at) { make(at, kRingLength); }
  static void make_numbers(void* at) { make(at, 2 * kRingLength); }
  static bool push_line(void* at, const Line& line) {
    return rte_ring_enqueue_elem(ring(at), const_cast<Line*>(&line), sizeof line) == 0;
  }
  static bool take_line(void* at, Line& line) {
    return rte_ring_dequeue_elem(ring(at), &line, sizeof line) == 0;
  }
  static bool push_number(void* at, std::uint64_t number) {
    return rte_ring_enqueue_elem(ring(at), &number, sizeof number) == 0;
  }
  static bool take_number(void* at, std::uint64_t& number) {
    return rte_ring_dequeue_elem(ring(at), &number, sizeof number) == 0;
  }
};

}  // namespace
}  // namespace rivals

int main(int argc, char** argv) {
  return rivals::run<rivals::BareRing<rivals::RteRings>>(rivals::parse_plan(argc, argv));
}
