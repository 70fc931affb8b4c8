// Loans: the part of a message that "the loan apart" leaves out. No contention: a slab has one owner.
//
// Serves the rows "1 MiB, payload not touched" (a loan costs the same at any size) and "push + take +
// release" (its complement). Time is CPU time; x_swap is the figure beside one `lock cmpxchg16b`.
#include <benchmark/benchmark.h>

#include <vector>

#include "bench_fabric.h"
#include "beside.h"
#include "memory/holders.h"

namespace ripstop::perf {
namespace {

constexpr uint32_t kOwner = 1;

// A loan that is dropped.
void LoanAbort(benchmark::State& state) {
  BenchFabric fabric(
      {.payload_bytes = {256, static_cast<uint32_t>(state.range(0))}, .slab_count = 1});
  const auto heap = fabric.heap(kOwner);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    const auto loaned = heap->loan(1);
    if (!loaned) return state.SkipWithError("no chunk");
    memory::abort_loan(*loaned->header, loaned->generation);
    heap->aborted(*loaned);
  }
}
BENCHMARK(LoanAbort)->ArgName("payload_bytes")->Arg(512)->Arg(65536)->Arg(1 << 20);

// A message that comes back before the next loan: a ping-pong.
void LoanCommitRelease(benchmark::State& state) {
  BenchFabric fabric(
      {.payload_bytes = {256, static_cast<uint32_t>(state.range(0))}, .slab_count = 1});
  const auto heap = fabric.heap(kOwner);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    const auto loaned = heap->loan(1);
    if (!loaned) return state.SkipWithError("no chunk");
    memory::commit(*loaned->header, 1);
    heap->sent(*loaned);
    (void)memory::release(fabric.chunks(), loaned->reference(), 0);
  }
}
BENCHMARK(LoanCommitRelease)->ArgName("payload_bytes")->Arg(512)->Arg(65536)->Arg(1 << 20);

// `in_flight` messages are always on their way: a stream.
void LoanWithInFlight(benchmark::State& state) {
  BenchFabric fabric;
  const auto heap = fabric.heap(kOwner);
  std::vector<layout::Reference> window(static_cast<std::size_t>(state.range(0)));
  std::size_t at = 0;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    if (window[at] != 0) (void)memory::release(fabric.chunks(), window[at], 0);
    const auto loaned = heap->loan(0);
    if (!loaned) return state.SkipWithError("no chunk");
    memory::commit(*loaned->header, 1);
    heap->sent(*loaned);
    window[at] = loaned->reference();
    at = at + 1 < window.size() ? at + 1 : 0;
  }
}
BENCHMARK(LoanWithInFlight)->ArgName("in_flight")->Arg(8)->Arg(64)->Arg(192);

// The last of `holders` releases: what a fan-out costs each receiver in swaps, without contention.
void FanOutRelease(benchmark::State& state) {
  BenchFabric fabric;
  const auto heap = fabric.heap(kOwner);
  const auto holder_count = static_cast<uint32_t>(state.range(0));
  BesideSwap beside(state, static_cast<int>(holder_count));
  for (auto _ : state) {
    beside.count();
    const auto loaned = heap->loan(0);
    if (!loaned) return state.SkipWithError("no chunk");
    memory::commit(*loaned->header, (uint64_t{1} << holder_count) - 1);
    heap->sent(*loaned);
    for (uint32_t bit = 0; bit < holder_count; ++bit)
      (void)memory::release(fabric.chunks(), loaned->reference(), bit);
  }
}
BENCHMARK(FanOutRelease)->ArgName("holders")->Arg(1)->Arg(4)->Arg(16)->Arg(60);

}  // namespace
}  // namespace ripstop::perf

BENCHMARK_MAIN();
