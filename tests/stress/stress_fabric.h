// What the stress tests share: a fabric on ONE mapping, on which threads play processes, and messages whose
// payload is plain memory, so that ThreadSanitizer names a missing edge as a data race.
//
// Every wait is bounded by patient(): a test that does not get on fails instead of hanging. Its measure is
// the processor time of this process, so that a machine that is busy with other things fails nothing.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>
#include <thread>

#include "fabric/fake_fabric.h"
#include "memory/holders.h"
#include "memory/slab_heap.h"
#include "ring/mpmc_ring.h"
#include "stress/operations.h"

namespace ripstop::stress {

using fabric::FakeFabric;
using fabric::FakeShape;
using memory::Loaned;
using memory::SlabHeap;

inline constexpr std::time_t kPatienceSeconds = 60;
// Where threads take turns, each turn may cost a slice of a busy machine's scheduler: such a test goes as
// many rounds as it wants or as the machine manages in this time.
inline constexpr std::chrono::seconds kTurnsBudget{5};
inline constexpr uint32_t kPayloadWords = 8;

// Instrumented code is slower, and under ThreadSanitizer a race shows in few rounds.
#if defined(RIPSTOP_PAIR_TOLD)  // ThreadSanitizer, of either compiler (base/atomic_pair.h).
inline constexpr uint64_t kMessages = 30'000;
#elif defined(__SANITIZE_ADDRESS__)
inline constexpr uint64_t kMessages = 24'000;
#else
inline constexpr uint64_t kMessages = 240'000;
#endif

// What a message says: its publisher and number, and the same in every word.
inline void fill(const Loaned& loaned, uint64_t publisher, uint64_t number) {
  auto* words = reinterpret_cast<uint64_t*>(memory::payload(*loaned.header));
  for (uint32_t i = 0; i < kPayloadWords; ++i) words[i] = (publisher << 48) + number * 8 + i;
  loaned.header->role = layout::ChunkRole::Root;
  loaned.header->flags = 0;
  loaned.header->payload_bytes = kPayloadWords * 8;
}

struct Said {
  uint64_t publisher;
  uint64_t number;
  friend bool operator==(const Said&, const Said&) = default;
};
inline constexpr Said kTorn{~uint64_t{0}, ~uint64_t{0}};

// What a message in the caller's hands says, or kTorn.
inline Said check(const memory::ChunkMap& chunks, layout::Reference reference) {
  layout::ChunkHeader* header = chunks.find(layout::reference_chunk(reference));
  if (header == nullptr || header->payload_bytes != kPayloadWords * 8) return kTorn;
  const auto* words = reinterpret_cast<const uint64_t*>(memory::payload(*header));
  const uint64_t first = words[0];
  for (uint32_t i = 0; i < kPayloadWords; ++i) {
    if (words[i] != first + i) return kTorn;
  }
  return {first >> 48, (first & ((uint64_t{1} << 48) - 1)) / 8};
}

class StressFabric : public testing::Test {
 protected:
  // All agents of the first node but 0, the supervisor's, are attached.
  explicit StressFabric(const FakeShape& shape) : fabric_(shape) {
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start_);
    for (uint32_t agent = 1; agent < shape.agents_per_node; ++agent) fabric_.attach(agent);
  }
  const memory::ChunkMap& chunks() const { return fabric_.chunks(); }
  // Gives up, and ends all threads, when nothing goes on.
  bool patient() {
    timespec used{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    if (used.tv_sec - start_.tv_sec < kPatienceSeconds) return !given_up_.load(std::memory_order_relaxed);
    given_up_.store(true);
    return false;
  }
  bool turns_are_over() const { return std::chrono::steady_clock::now() - begin_ > kTurnsBudget; }
  void give_up() { given_up_.store(true); }
  // A chunk of the class, as soon as there is one; nothing when patience is at its end.
  std::optional<Loaned> loan(SlabHeap& heap, uint32_t class_index = 0) {
    auto loaned = heap.loan(class_index);
    while (!loaned && patient()) {
      std::this_thread::yield();
      loaned = heap.loan(class_index);
    }
    return loaned;
  }
  void expect_all_free() {
    EXPECT_FALSE(given_up_.load()) << "nothing went on for too long";
    const fabric::Census census = fabric_.census();
    EXPECT_EQ(census.free_count, census.total());
  }

  FakeFabric fabric_;

 private:
  const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  timespec start_{};
  std::atomic<bool> given_up_{false};
};

}  // namespace ripstop::stress
