// What counting costs a message: the cycle of ring_bench with and without everything that is kept for
// statistics, in turn.
//
// Serves R130 (metrics cost <= 10 ns a message): `metrics_ns` of MetricsPerMessage. "Off" sends, takes
// and releases; "on" adds what Publisher, Inbox and Subscriber keep (PublisherCore::count,
// Inbox::count_take, SubscriberCore::count: rows, sequences, latency histogram). With `clocks` 1 both
// read the clock at the send, because the time is part of the message header (R88), and "on" reads it
// again at the take, for the histogram alone. CPU time.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "agent/sequence_window.h"
#include "base/clock.h"
#include "bench_fabric.h"
#include "beside.h"
#include "layout/histogram.h"
#include "memory/holders.h"

namespace ripstop::perf {
namespace {

void add(std::atomic<uint64_t>& counter, uint64_t amount) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

struct Cycle {
  BenchFabric fabric;
  std::unique_ptr<memory::SlabHeap> heap = fabric.heap(1);
  Lane lane = fabric.lane(2);
  layout::PublisherRow& row = fabric.block(1).publishers[0];
  layout::AgentBlock& taker = fabric.block(2);
  layout::SubscriptionRow& subscription = taker.subscriptions[0];
  detail::SequenceWindow sequences;
  base::TscScale clock = base::measure_tsc_scale(10'000'000);
  uint64_t sequence = 0;

  template <bool kMetrics, bool kClocks>
  void play() {
    const auto chunk = heap->loan(0);
    const uint64_t sent_ns = kClocks ? base::scaled_now_ns(clock) : sequence;
    layout::ChunkHeader& header = *chunk->header;
    header.role = layout::ChunkRole::Root;
    header.flags = 0;
    header.sequence = ++sequence;
    header.publish_time_ns = sent_ns;
    header.payload_bytes = 64;
    header.source = 1;
    header.publisher_row = 0;
    const ring::Tail tail = lane.ring.find_tail(lane.incarnation);
    memory::commit(header, 1);
    (void)lane.ring.push(tail, lane.incarnation, chunk->reference(), 0, 0);
    heap->sent(*chunk);
    if constexpr (kMetrics) {  // PublisherCore::count
      add(row.message_count, 1);
      add(row.byte_count, header.payload_bytes);
      add(row.delivery_count, 1);
      row.last_time_ns.store(sent_ns, std::memory_order_relaxed);
    }
    ring::SlotView slot{0, 0};
    if (!lane.ring.peek(lane.head, slot)) std::abort();
    if constexpr (kMetrics) {
      const uint64_t now = kClocks ? base::scaled_now_ns(clock) : sent_ns + 150;
      // Inbox::count_take
      add(taker.counters.taken_count, 1);
      taker.counters.last_take_ns.store(now, std::memory_order_relaxed);
      add(taker.latency_ns[layout::histogram_bucket(
              now > header.publish_time_ns ? now - header.publish_time_ns : 0)],
          1);
      // SubscriberCore::count
      add(subscription.message_count, 1);
      add(subscription.byte_count, header.payload_bytes);
      const auto verdict = sequences.see(
          ((uint64_t{header.source} << 8) | header.publisher_row) + 1, header.sequence);
      if (verdict.lost_change != 0)
        add(subscription.lost_count, static_cast<uint64_t>(verdict.lost_change));
      if (verdict.duplicate) add(subscription.duplicate_count, 1);
      subscription.last_time_ns.store(now, std::memory_order_relaxed);
    }
    (void)memory::release(fabric.chunks(), slot.low, 0);
    lane.ring.empty(lane.head, lane.incarnation);
    lane.ring.head_hint().store(++lane.head, std::memory_order_relaxed);
    if constexpr (kMetrics) add(taker.counters.released_count, 1);
  }
};

template <class Play>
double each_ns(int count, Play play) {
  const double begin = thread_cpu_ns();
  for (int i = 0; i < count; ++i) play();
  return (thread_cpu_ns() - begin) / count;
}

template <bool kClocks>
void compare(benchmark::State& state) {
  constexpr int kRound = 5000;
  Cycle cycle;
  std::vector<double> off;
  std::vector<double> on;
  for (auto _ : state) {
    off.push_back(each_ns(kRound, [&] { cycle.play<false, kClocks>(); }));
    on.push_back(each_ns(kRound, [&] { cycle.play<true, kClocks>(); }));
    state.SetIterationTime(on.back() * 1e-9);
  }
  const auto median = [](std::vector<double>& values) {
    std::nth_element(values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
  };
  state.counters["off_ns"] = median(off);
  state.counters["on_ns"] = median(on);
  state.counters["metrics_ns"] = median(on) - median(off);
}

void MetricsPerMessage(benchmark::State& state) {
  state.range(0) == 0 ? compare<false>(state) : compare<true>(state);
}
BENCHMARK(MetricsPerMessage)->ArgName("clocks")->Arg(0)->Arg(1)->UseManualTime()->Iterations(100);

void ReadClock(benchmark::State& state) {
  const base::TscScale clock = base::measure_tsc_scale(10'000'000);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    benchmark::DoNotOptimize(base::scaled_now_ns(clock));
  }
}
BENCHMARK(ReadClock);

void HistogramAdd(benchmark::State& state) {
  std::vector<std::atomic<uint64_t>> buckets(layout::kHistogramBuckets);
  uint64_t value = 1;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    value = value * 6364136223846793005u + 1442695040888963407u;
    add(buckets[layout::histogram_bucket(value >> 48)], 1);  // Up to 65 µs.
  }
}
BENCHMARK(HistogramAdd);

}  // namespace
}  // namespace ripstop::perf

BENCHMARK_MAIN();
