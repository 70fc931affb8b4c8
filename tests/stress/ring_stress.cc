// The ring and the holders under threads that play processes on ONE mapping, for ThreadSanitizer.
//
// Payloads are plain memory: a missing edge is a data race that the tool names. Every wait is bounded; a
// test that does not get on fails after kPatience instead of hanging.
//
// Seen to fail under TSan (g++ 12) with an order weakened by hand, one at a time; data races named:
//   A(slot)     MpmcRing::peek, acquire -> relaxed                    6
//   R(slot)     AtomicPair::compare_exchange, seq_cst -> acquire      8
//   R(commit)   memory::commit, release -> relaxed                    5
//   A(commit)   memory::read_holders, acquire -> relaxed              5
//   A(release)  memory::is_free, acquire -> relaxed                   5
// MpmcRing::read relaxed is not found: each take that follows it is a swap, which acquires. Its acquire
// serves recovery, which looks and does not swap.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "memory/evict.h"
#include "stress/stress_fabric.h"

namespace ripstop::stress {
namespace {

constexpr uint32_t kTaker = 7;
constexpr uint32_t kRing = 1;

class RingStress : public StressFabric {
 protected:
  explicit RingStress(uint32_t slots = 64) : StressFabric(FakeShape{1, 16, {{256, 64, 8}}, {4, 4, 64, 4, 4}, 1, slots}) {
    incarnation_ = fabric_.open_queue(kRing, kTaker);
  }
  ring::MpmcRing ring() { return fabric_.map().queue(kRing)->ring; }
  // Publishes `count` messages; `make_room` is asked when the ring is full.
  template <class MakeRoom>
  void publish(uint32_t publisher, uint64_t count, MakeRoom make_room) {
    SlabHeap heap(fabric_.chunks(), 0, publisher, fabric_.incarnation(publisher));
    ring::MpmcRing ring = this->ring();
    for (uint64_t number = 1; number <= count; ++number) {
      const auto loaned = loan(heap);
      if (!loaned) return;
      fill(*loaned, publisher, number);
      memory::commit(*loaned->header, 1);
      for (;;) {
        const ring::Tail tail = ring.find_tail(incarnation_);
        const ring::Push pushed = ring.push(tail, incarnation_, loaned->reference(), 0, 0);
        if (pushed == ring::Push::Ok) break;
        if (pushed != ring::Push::Full) {
          ADD_FAILURE() << "push: " << static_cast<int>(pushed);
          give_up();
        }
        if (!patient()) return;
        make_room(ring, tail);
      }
      heap.sent(*loaned);
    }
  }
  static void yield(ring::MpmcRing&, const ring::Tail&) { std::this_thread::yield(); }

  uint64_t incarnation_ = 0;
};

TEST_F(RingStress, ManyPushersOneTakerInPlace) {
  constexpr uint32_t kPushers = 3;
  std::vector<std::thread> threads;
  for (uint32_t publisher = 1; publisher <= kPushers; ++publisher) {
    threads.emplace_back([this, publisher] { publish(publisher, kMessages / kPushers, yield); });
  }
  ring::MpmcRing ring = this->ring();
  uint64_t head = ring.head_hint().load();
  uint64_t last[kPushers + 1] = {};
  for (uint64_t taken = 0; taken < kMessages / kPushers * kPushers && patient();) {
    ring::SlotView view{};
    if (!ring.peek(head, view)) {
      std::this_thread::yield();
      continue;
    }
    const auto [publisher, number] = check(fabric_.chunks(), view.low);
    if (publisher < 1 || publisher > kPushers || number != last[publisher] + 1) {
      ADD_FAILURE() << "torn, lost or out of order: " << publisher << " " << number;
      give_up();
      break;
    }
    last[publisher] = number;
    EXPECT_EQ(memory::release(fabric_.chunks(), view.low, layout::unpack(view.state).bit), memory::Release::Freed);
    ring.empty(head++, incarnation_);
    ++taken;
  }
  for (std::thread& thread : threads) thread.join();
  expect_all_free();
  Operations::count(kMessages / kPushers * kPushers);
}

// Messages are released in another order than they were taken, so that EMPTY slots of two turns mix.
TEST_F(RingStress, OutOfOrderReleaseUnderPushers) {
  std::thread first([this] { publish(1, kMessages / 2, yield); });
  std::thread second([this] { publish(2, kMessages / 2, yield); });
  ring::MpmcRing ring = this->ring();
  uint64_t head = ring.head_hint().load();
  std::vector<std::pair<uint64_t, ring::SlotView>> in_hand;
  uint64_t random = 88172645463325252u;
  for (uint64_t released = 0; released < kMessages / 2 * 2 && patient();) {
    ring::SlotView view{};
    if (in_hand.size() < 32 && ring.peek(head, view)) {
      ASSERT_NE(check(fabric_.chunks(), view.low), kTorn);
      in_hand.emplace_back(head++, view);
      continue;
    }
    if (in_hand.empty()) {
      std::this_thread::yield();
      continue;
    }
    random ^= random << 13, random ^= random >> 7, random ^= random << 17;
    const std::size_t at = random % in_hand.size();
    EXPECT_EQ(memory::release(fabric_.chunks(), in_hand[at].second.low, 0), memory::Release::Freed);
    ring.empty(in_hand[at].first, incarnation_);
    in_hand[at] = in_hand.back();
    in_hand.pop_back();
    ++released;
  }
  first.join();
  second.join();
  expect_all_free();
  Operations::count(kMessages);
}

// Any taker takes any message: each message is counted once.
TEST_F(RingStress, ManyPushersManyTakers) {
  constexpr uint32_t kPushers = 2;
  constexpr uint32_t kTakers = 2;
  constexpr uint64_t kEach = kMessages / kPushers;
  std::vector<std::atomic<uint8_t>> seen(kPushers * (kEach + 1));
  std::atomic<uint64_t> head_line{ring().head_hint().load()};
  std::atomic<uint64_t> taken{0};
  std::vector<std::thread> threads;
  for (uint32_t publisher = 1; publisher <= kPushers; ++publisher) {
    threads.emplace_back([this, publisher] { publish(publisher, kEach, yield); });
  }
  for (uint32_t taker = 0; taker < kTakers; ++taker) {
    threads.emplace_back([&, taker] {
      ring::MpmcRing ring = this->ring();
      while (taken.load() < kPushers * kEach && patient()) {
        // A hint that all takers move on.
        const uint64_t head = head_line.load(std::memory_order_relaxed);
        ring::SlotView view = ring.read(head);
        const int64_t ahead = layout::turn_distance(layout::word_turn(view.state), ring.turn(head));
        const layout::Phase phase = layout::word_phase(view.state);
        const bool passed = ahead > 0 || (ahead == 0 && phase == layout::Phase::Taken);
        const bool took = ahead == 0 && phase == layout::Phase::Full && ring.take(head, view, 8 + taker);
        uint64_t expected = head;
        if (passed || took) head_line.compare_exchange_strong(expected, head + 1);
        if (!took) {
          std::this_thread::yield();
          continue;
        }
        const auto [publisher, number] = check(fabric_.chunks(), view.low);
        if (publisher < 1 || publisher > kPushers || number > kEach || seen[(publisher - 1) * (kEach + 1) + number].fetch_add(1) != 0) {
          ADD_FAILURE() << "torn or twice: " << publisher << " " << number;
          give_up();
          return;
        }
        EXPECT_EQ(memory::release(fabric_.chunks(), view.low, 0), memory::Release::Freed);
        EXPECT_TRUE(ring.finish(head, view, incarnation_));
        taken.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken.load(), kPushers * kEach);
  expect_all_free();
  Operations::count(kPushers * kEach);
}

// Publishers drop the oldest under the hands of the taker. Each message is taken or dropped, never both.
class EvictStress : public RingStress {
 protected:
  EvictStress() : RingStress(8) {}
};

TEST_F(EvictStress, AnEvictorAndTheTakerNeverGetTheSameMessage) {
  constexpr uint64_t kEach = kMessages / 2;
  std::atomic<uint64_t> dropped{0};
  std::atomic<int> running{2};
  layout::AgentBlock& block = fabric_.block(kTaker);
  const auto drop_oldest = [&](ring::MpmcRing& ring, const ring::Tail& tail) {
    if (tail.outcome != ring::Push::Full) return;
    switch (memory::evict_oldest(fabric_.chunks(), ring, tail, incarnation_, block)) {
      case memory::Evict::Dropped: dropped.fetch_add(1); break;
      case memory::Evict::Moved: break;
      case memory::Evict::Stuck: std::this_thread::yield(); break;
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t publisher = 1; publisher <= 2; ++publisher) {
    threads.emplace_back([&, publisher] {
      publish(publisher, kEach, drop_oldest);
      running.fetch_sub(1);
    });
  }
  ring::MpmcRing ring = this->ring();
  uint64_t head = ring.head_hint().load();
  uint64_t taken = 0;
  uint64_t moved = 0;
  uint64_t last[3] = {};
  while (patient()) {
    ring::SlotView view = ring.read(head);
    const int64_t ahead = layout::turn_distance(layout::word_turn(view.state), ring.turn(head));
    const layout::Phase phase = layout::word_phase(view.state);
    if (ahead < 0 || (ahead == 0 && phase == layout::Phase::Empty)) {
      if (running.load() == 0 && layout::word_phase(ring.read(head).state) == layout::Phase::Empty) break;
      std::this_thread::yield();
      continue;
    }
    if (ahead > 0 || phase == layout::Phase::Taken) {
      ++head;
      continue;
    }
    if (!ring.take(head, view, kTaker)) continue;
    const auto [publisher, number] = check(fabric_.chunks(), view.low);
    if (publisher < 1 || publisher > 2 || number <= last[publisher]) {
      ADD_FAILURE() << "torn or out of order: " << publisher << " " << number;
      give_up();
      break;
    }
    last[publisher] = number;
    if (taken % 3 == 0) std::this_thread::yield();  // Publishers find it in our hands.
    EXPECT_EQ(check(fabric_.chunks(), view.low), (Said{publisher, number})) << "gone while we had it";
    EXPECT_EQ(memory::release(fabric_.chunks(), view.low, 0), memory::Release::Freed) << "dropped under our hands";
    if (!ring.finish(head, view, incarnation_)) {
      memory::unhold(block, view.low, 0);
      ++moved;
    }
    ++head;
    ++taken;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(taken + dropped.load(), 2 * kEach);
  RecordProperty("moved", static_cast<int>(moved));
  expect_all_free();
  Operations::count(taken + dropped.load());
}

// One message, many receivers that release it at once; the loaner uses its chunk again as soon as it is free.
class HoldersStress : public RingStress {};

TEST_F(HoldersStress, TheLastOfManyReleasersFreesAMessageWithItsLinks) {
  constexpr uint32_t kReceivers = 3;
  constexpr uint64_t kRounds = kMessages / 6;
  std::atomic<uint64_t> round{0};
  std::atomic<layout::Reference> current{0};
  std::atomic<uint64_t> done{0};
  std::atomic<uint64_t> last_round{kRounds};
  std::vector<std::thread> threads;
  for (uint32_t receiver = 0; receiver < kReceivers; ++receiver) {
    threads.emplace_back([&, receiver] {
      for (uint64_t expected = 1; expected <= kRounds; ++expected) {
        while (round.load(std::memory_order_acquire) < expected) {
          if (!patient() || last_round.load(std::memory_order_relaxed) < expected) return;
          std::this_thread::yield();
        }
        const layout::Reference reference = current.load(std::memory_order_relaxed);
        EXPECT_EQ(check(fabric_.chunks(), reference), (Said{1, expected}));
        EXPECT_NE(memory::release(fabric_.chunks(), reference, receiver), memory::Release::Gone);
        EXPECT_EQ(memory::release(fabric_.chunks(), reference, receiver), memory::Release::Gone);
        // Relaxed on purpose: the edge back to the loaner must come from the holders alone.
        done.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  SlabHeap heap(fabric_.chunks(), 0, 1, fabric_.incarnation(1));
  uint64_t rounds = 0;
  while (rounds < kRounds && patient() && !turns_are_over()) {
    const uint64_t n = ++rounds;
    const Loaned root = *heap.loan(0);
    fill(root, 1, n);
    const Loaned link = *heap.loan(0);
    fill(link, 1, n);
    link.header->role = layout::ChunkRole::Continuation;
    link.header->link = 0;
    link.header->root = root.reference();
    memory::commit(*link.header, layout::kLinkHold);
    root.header->link = link.reference();
    root.header->flags = layout::kFlagLinked;
    memory::commit(*root.header, (uint64_t{1} << kReceivers) - 1);
    current.store(root.reference(), std::memory_order_relaxed);
    round.store(n, std::memory_order_release);
    heap.sent(root);
    heap.sent(link);
    while (done.load(std::memory_order_relaxed) < n * kReceivers && patient()) std::this_thread::yield();
  }
  last_round.store(rounds, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  expect_all_free();
  Operations::count(rounds * kReceivers);
}

// Nothing but the holders between the two sides: R(commit) -> A(commit) there, R(release) -> A(release) back.
TEST_F(HoldersStress, TheHoldersAloneCarryAMessageAndItsChunkBack) {
  SlabHeap heap(fabric_.chunks(), 0, 1, fabric_.incarnation(1));
  const Loaned first = *heap.loan(0);
  layout::ChunkHeader& header = *first.header;
  memory::abort_loan(header, first.generation);
  // Relaxed: it must carry nothing from one side to the other.
  std::atomic<uint64_t> rounds{kMessages / 4};
  std::thread reader([&] {
    for (uint64_t n = 1; n <= rounds.load(std::memory_order_relaxed); ++n) {
      memory::Holders holders = memory::read_holders(header);
      while (holders.bits != 1) {
        if (!patient() || n > rounds.load(std::memory_order_relaxed)) return;
        std::this_thread::yield();
        holders = memory::read_holders(header);
      }
      const layout::Reference reference = layout::make_reference(first.chunk, holders.generation);
      EXPECT_EQ(check(fabric_.chunks(), reference), (Said{1, n}));
      EXPECT_EQ(memory::release_seen(fabric_.chunks(), header, reference, holders.generation, 0), memory::Release::Freed);
    }
  });
  for (uint64_t n = 1; n <= rounds.load(std::memory_order_relaxed); ++n) {
    while (!memory::is_free(header) && patient()) std::this_thread::yield();
    if (!memory::is_free(header) || turns_are_over()) {
      rounds.store(n - 1, std::memory_order_relaxed);
      break;
    }
    const uint64_t generation = memory::mark_loaned(header);
    fill({&header, first.chunk, generation, 0}, 1, n);
    memory::commit(header, 1);
  }
  reader.join();
  expect_all_free();
  Operations::count(rounds.load());
}

// Slabs go from agent to agent with what is in flight in them.
TEST_F(HoldersStress, SlabsChangeOwnersWhileMessagesAreInFlight) {
  constexpr uint64_t kEach = kMessages / 40;
  std::vector<std::thread> threads;
  std::atomic<int> running{2};
  std::atomic<uint64_t> torn{0};
  for (uint32_t publisher = 1; publisher <= 2; ++publisher) {
    threads.emplace_back([&, publisher] {
      for (int life = 0; life < 20; ++life) publish(publisher, kEach, yield);
      running.fetch_sub(1);
    });
  }
  ring::MpmcRing ring = this->ring();
  uint64_t head = ring.head_hint().load();
  while (patient()) {
    ring::SlotView view{};
    if (!ring.peek(head, view)) {
      if (running.load() == 0 && !ring.peek(head, view)) break;
      std::this_thread::yield();
      continue;
    }
    if (check(fabric_.chunks(), view.low) == kTorn) torn.fetch_add(1);
    EXPECT_EQ(memory::release(fabric_.chunks(), view.low, 0), memory::Release::Freed);
    ring.empty(head++, incarnation_);
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(torn.load(), 0u);
  expect_all_free();
  Operations::count(40 * kEach);
}

}  // namespace
}  // namespace ripstop::stress
