// The ring and the holders, without an agent around them: what a message costs below the API.
//
// Serves the rows "push + take + release (the loan apart), uncontended, one thread" (x_swap is the
// figure beside one `lock cmpxchg16b`), "streaming topic" (the cycle is its lower bound on one core)
// and "topic publish -> one subscriber" (RingPingPong: x_floor is the figure beside a bare line).
// Time is CPU time, but for the ping-pong, whose time is the median of the clock's.
#include <benchmark/benchmark.h>

#include <array>
#include <memory>

#include "bench_fabric.h"
#include "beside.h"
#include "echo.h"
#include "memory/evict.h"
#include "memory/holders.h"

namespace ripstop::perf {
namespace {

constexpr uint32_t kTaker = 1;

// One `lock cmpxchg16b` that succeeds: what all others are multiples of.
void PairSwap(benchmark::State& state) {
  BesideSwap beside(state);
  alignas(64) base::AtomicPair word{};
  base::Pair expected{0, 0};
  for (auto _ : state) {
    beside.count();
    const base::Pair next{expected.low + 1, expected.high};
    benchmark::DoNotOptimize(word.compare_exchange(expected, next));
    expected = next;
  }
}
BENCHMARK(PairSwap);

// The 8-byte store of the commit.
void PlainStore(benchmark::State& state) {
  BesideSwap beside(state);
  alignas(64) std::atomic<uint64_t> word{0};
  uint64_t value = 0;
  for (auto _ : state) {
    beside.count();
    word.store(++value, std::memory_order_release);
    benchmark::ClobberMemory();
  }
}
BENCHMARK(PlainStore);

// The 16-byte store with which a single taker empties a slot.
void PairStore(benchmark::State& state) {
  BesideSwap beside(state);
  alignas(64) base::AtomicPair word{};
  uint64_t value = 0;
  for (auto _ : state) {
    beside.count();
    ++value;
    word.store_exclusive({value, value});
  }
}
BENCHMARK(PairStore);

// Chunks that were loaned once, so that a cycle does without a heap. Marking one as loaned again is a
// plain load and store, which stay in the figures.
class LoanedChunks {
 public:
  explicit LoanedChunks(BenchFabric& fabric) : heap_(fabric.heap(kTaker)) {
    for (memory::Loaned& chunk : chunks_) {
      chunk = *heap_->loan(0);
      memory::abort_loan(*chunk.header, chunk.generation);
    }
  }
  memory::Loaned next() noexcept {
    memory::Loaned& chunk = chunks_[next_++ % chunks_.size()];
    chunk.generation = memory::mark_loaned(*chunk.header);
    return chunk;
  }

 private:
  std::unique_ptr<memory::SlabHeap> heap_;
  std::array<memory::Loaned, 64> chunks_{};
  std::size_t next_ = 0;
};

void send(Lane& lane, const memory::Loaned& chunk) noexcept {
  const ring::Tail tail = lane.ring.find_tail(lane.incarnation);
  chunk.header->role = layout::ChunkRole::Root;
  chunk.header->flags = 0;
  memory::commit(*chunk.header, 1);
  (void)lane.ring.push(tail, lane.incarnation, chunk.reference(), 0, 0);
}

// Takes the message at the head in place and checks that it is what its slot says.
bool take(const memory::ChunkMap& map, const Lane& lane, ring::SlotView& slot) noexcept {
  if (!lane.ring.peek(lane.head, slot)) return false;
  const layout::ChunkHeader* header = map.find(layout::reference_chunk(slot.low));
  if (header == nullptr) return false;
  const memory::Holders holders = memory::read_holders(*header);
  return layout::same_generation(slot.low, holders.generation) && (holders.bits & 1) != 0;
}

void release(const memory::ChunkMap& map, Lane& lane, const ring::SlotView& slot) noexcept {
  (void)memory::release(map, slot.low, 0);
  lane.ring.empty(lane.head++, lane.incarnation);
  lane.ring.head_hint().store(lane.head, std::memory_order_relaxed);
}

// Commit, push, take in place, release, empty: the row of the table.
void PushTakeRelease(benchmark::State& state) {
  BenchFabric fabric;
  LoanedChunks chunks(fabric);
  Lane lane = fabric.lane(kTaker);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    send(lane, chunks.next());
    ring::SlotView slot{0, 0};
    if (!take(fabric.chunks(), lane, slot)) return state.SkipWithError("the message did not come");
    release(fabric.chunks(), lane, slot);
  }
}
BENCHMARK(PushTakeRelease);

// The same with the loan from a heap, which looks at what came back.
void LoanPushTakeRelease(benchmark::State& state) {
  BenchFabric fabric;
  const auto heap = fabric.heap(kTaker);
  Lane lane = fabric.lane(kTaker);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    const auto chunk = heap->loan(0);
    if (!chunk) return state.SkipWithError("no chunk");
    send(lane, *chunk);
    heap->sent(*chunk);
    ring::SlotView slot{0, 0};
    if (!take(fabric.chunks(), lane, slot)) return state.SkipWithError("the message did not come");
    release(fabric.chunks(), lane, slot);
  }
}
BENCHMARK(LoanPushTakeRelease);

// 32 messages out, then 32 in: a burst.
void PushTakeReleaseBurst(benchmark::State& state) {
  constexpr int kBurst = 32;
  BenchFabric fabric;
  LoanedChunks chunks(fabric);
  Lane lane = fabric.lane(kTaker);
  BesideSwap beside(state, kBurst);
  for (auto _ : state) {
    beside.count();
    for (int i = 0; i < kBurst; ++i) send(lane, chunks.next());
    for (int i = 0; i < kBurst; ++i) {
      ring::SlotView slot{0, 0};
      if (!take(fabric.chunks(), lane, slot))
        return state.SkipWithError("the message did not come");
      release(fabric.chunks(), lane, slot);
    }
  }
  state.SetItemsProcessed(state.iterations() * kBurst);
}
BENCHMARK(PushTakeReleaseBurst);

// The ring alone: push and empty, no chunk behind the slot.
void PushEmpty(benchmark::State& state) {
  BenchFabric fabric;
  Lane lane = fabric.lane(kTaker);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    (void)lane.ring.push(lane.incarnation, 1, 0, 0);
    ring::SlotView slot{0, 0};
    if (!lane.ring.peek(lane.head, slot)) return state.SkipWithError("the slot is not full");
    lane.ring.empty(lane.head++, lane.incarnation);
  }
}
BENCHMARK(PushEmpty);

// A ring whose slots are taken and finished by swap: drop-oldest, queues.
void SharedPushTakeRelease(benchmark::State& state) {
  BenchFabric fabric;
  LoanedChunks chunks(fabric);
  Lane lane = fabric.lane(kTaker);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    send(lane, chunks.next());
    ring::SlotView slot = lane.ring.read(lane.head);
    if (!lane.ring.take(lane.head, slot, kTaker))
      return state.SkipWithError("the message did not come");
    (void)memory::release(fabric.chunks(), slot.low, 0);
    (void)lane.ring.finish(lane.head++, slot, lane.incarnation);
  }
}
BENCHMARK(SharedPushTakeRelease);

// Push into a full ring that drops its oldest.
void EvictPush(benchmark::State& state) {
  BenchFabric fabric({.lane_slots = 32});
  LoanedChunks chunks(fabric);
  Lane lane = fabric.lane(kTaker);
  for (int i = 0; i < 32; ++i) send(lane, chunks.next());
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    const ring::Tail tail = lane.ring.find_tail(lane.incarnation);
    if (memory::evict_oldest(fabric.chunks(), lane.ring, tail, lane.incarnation,
                             fabric.block(kTaker)) != memory::Evict::Dropped) {
      return state.SkipWithError("nothing was dropped");
    }
    send(lane, chunks.next());
  }
}
BENCHMARK(EvictPush);

// How long it takes to find the tail when a pusher died, or was stopped, `range` pushes ago.
void FindTailLagging(benchmark::State& state) {
  BenchFabric fabric;
  Lane lane = fabric.lane(kTaker);
  for (int i = 0; i < 128; ++i) (void)lane.ring.push(lane.incarnation, 1, 0, 0);
  const uint64_t tail = lane.ring.tail_hint().load(std::memory_order_relaxed);
  lane.ring.tail_hint().store(tail - static_cast<uint64_t>(state.range(0)),
                              std::memory_order_relaxed);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    const ring::Tail found = lane.ring.find_tail(lane.incarnation);
    if (found.position != tail) return state.SkipWithError("not the tail");
    benchmark::DoNotOptimize(found);
  }
}
BENCHMARK(FindTailLagging)->Arg(0)->Arg(1)->Arg(8)->Arg(64);

// Loan, push, take, read, release between two processors, both spinning, beside a bare cache line.
void RingPingPong(benchmark::State& state) {
  BenchFabric fabric;
  struct Side {
    std::unique_ptr<memory::SlabHeap> heap;
    Lane out;
    Lane in;
    void throw_one() {
      const auto chunk = heap->loan(0);
      *reinterpret_cast<uint64_t*>(memory::payload(*chunk->header)) = in.head;
      send(out, *chunk);
      heap->sent(*chunk);
      heap->prefetch(0);
    }
    void catch_one(const memory::ChunkMap& map) {
      ring::SlotView slot{0, 0};
      while (!take(map, in, slot)) {
      }
      benchmark::DoNotOptimize(*reinterpret_cast<uint64_t*>(
          memory::payload(*map.find(layout::reference_chunk(slot.low)))));
      release(map, in, slot);
    }
  };
  Side here{fabric.heap(1), fabric.lane(2), fabric.lane(1)};
  Side there{fabric.heap(2), fabric.lane(1), fabric.lane(2)};
  const Pinned pinned(0);
  LinePingPong line;
  Echo line_echo(1, [&] { line.answer(); });
  Echo ring_echo(1, [&] {
    there.catch_one(fabric.chunks());
    there.throw_one();
  });
  interleave(
      state, 2000, line_echo, [&] { line.throw_and_catch(); }, ring_echo,
      [&] {
        here.throw_one();
        here.catch_one(fabric.chunks());
      });
}
BENCHMARK(RingPingPong)->UseManualTime()->Iterations(100);

}  // namespace
}  // namespace ripstop::perf

BENCHMARK_MAIN();
