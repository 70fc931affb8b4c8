// Cap'n Proto built in a chunk and read in place, beside what its users do elsewhere: malloc, then
// copy. And a whole message by the public API, from loan to release, one thread.
//
// Serves the rows "topic publish -> one subscriber, 64 B Cap'n Proto built and read in place" (what of
// it is Cap'n Proto's) and "push + take + release" (what of it the API adds: Publish*). CPU time;
// x_swap is the figure beside one `lock cmpxchg16b`. Publish* need a ripstopd in the same build.
#include <benchmark/benchmark.h>
#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "bench_fabric.h"
#include "bench_supervisor.h"
#include "beside.h"
#include "memory/holders.h"
#include "ripstop/agent.h"
#include "ripstop/capnp.h"
#include "task.capnp.h"

namespace ripstop::perf {
namespace {

void build(Task::Builder task, uint64_t id) {
  task.setId(id);
  task.setDeadline(id + 1);
  task.setAttempt(2);
  task.setUrgent(true);
  task.setGoal("mend the net");
}
uint64_t read(Task::Reader task) {
  return task.getId() + task.getDeadline() + task.getAttempt() + task.getGoal().size();
}

// Builds in a chunk's payload, as the library's typed front does: cleared, all of a small chunk.
class ChunkBuilder final : public ::capnp::MessageBuilder {
 public:
  ChunkBuilder(std::byte* payload, std::size_t bytes) noexcept : payload_(payload), bytes_(bytes) {}
  ~ChunkBuilder() noexcept(false) override = default;
  ::kj::ArrayPtr<::capnp::word> allocateSegment(::capnp::uint) override {
    std::memset(payload_, 0, bytes_);
    return {reinterpret_cast<::capnp::word*>(payload_), bytes_ / sizeof(::capnp::word)};
  }

 private:
  std::byte* payload_;
  std::size_t bytes_;
};

void BuildInChunk(benchmark::State& state) {
  BenchFabric fabric;
  const auto heap = fabric.heap(1);
  const auto chunk = heap->loan(0);
  std::byte* payload = memory::payload(*chunk->header);
  uint64_t id = 0;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    ChunkBuilder builder(payload, fabric.chunks().payload_bytes(0));
    build(builder.initRoot<Task>(), ++id);
    benchmark::DoNotOptimize(builder.getSegmentsForOutput()[0].size());
  }
}
BENCHMARK(BuildInChunk);

// What is built elsewhere must still be copied into shared memory: with its segment table.
void BuildByMallocAndCopy(benchmark::State& state) {
  std::vector<::capnp::word> shared(64);
  uint64_t id = 0;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    ::capnp::MallocMessageBuilder builder;
    build(builder.initRoot<Task>(), ++id);
    const auto flat = ::capnp::messageToFlatArray(builder);
    std::memcpy(shared.data(), flat.begin(), flat.size() * sizeof(::capnp::word));
    benchmark::ClobberMemory();
  }
}
BENCHMARK(BuildByMallocAndCopy);

void BuildByMalloc(benchmark::State& state) {
  uint64_t id = 0;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    ::capnp::MallocMessageBuilder builder;
    build(builder.initRoot<Task>(), ++id);
    benchmark::DoNotOptimize(builder.getSegmentsForOutput()[0].size());
  }
}
BENCHMARK(BuildByMalloc);

void ReadInPlace(benchmark::State& state) {
  BenchFabric fabric;
  const auto chunk = fabric.heap(1)->loan(0);
  std::byte* payload = memory::payload(*chunk->header);
  ChunkBuilder builder(payload, fabric.chunks().payload_bytes(0));
  build(builder.initRoot<Task>(), 1);
  const auto segments = builder.getSegmentsForOutput();
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    ::capnp::SegmentArrayMessageReader reader(segments);
    benchmark::DoNotOptimize(read(reader.getRoot<Task>()));
  }
}
BENCHMARK(ReadInPlace);

// An agent that publishes to another one of the same thread.
struct Pair {
  std::optional<Agent> sender;
  std::optional<Agent> receiver;
  std::string why;
};
Pair attach_pair() {
  Pair pair;
  if (!supervisor().ready()) {
    pair.why = supervisor().why();
    return pair;
  }
  auto sender = Agent::attach(supervisor().options("bench-sender"));
  auto receiver = Agent::attach(supervisor().options("bench-receiver"));
  if (!sender || !receiver) {
    pair.why = to_string(!sender ? sender.error() : receiver.error());
    return pair;
  }
  pair.sender.emplace(std::move(*sender));
  pair.receiver.emplace(std::move(*receiver));
  return pair;
}

void PublishBytes(benchmark::State& state) {
  Pair pair = attach_pair();
  if (!pair.why.empty()) return state.SkipWithError(pair.why.c_str());
  const auto bytes = static_cast<std::size_t>(state.range(0));
  auto subscriber = pair.receiver->subscriber("bench.bytes");
  auto publisher = pair.sender->publisher("bench.bytes");
  if (!subscriber || !publisher) return state.SkipWithError("no topic");
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    auto loan = publisher->loan(bytes);
    if (!loan || !loan->send()) return state.SkipWithError("not sent");
    auto message = subscriber->take();
    if (!message) return state.SkipWithError("did not come");
    benchmark::DoNotOptimize(message->bytes().data());
  }
}
BENCHMARK(PublishBytes)->ArgName("payload_bytes")->Arg(64)->Arg(65536);

// 32 out, then 32 in: what each side of a stream spends on a message (send_ns with the loan, take_ns
// with the release); the slower one bounds what two processors stream.
void StreamBytes(benchmark::State& state) {
  constexpr int kBurst = 32;
  Pair pair = attach_pair();
  if (!pair.why.empty()) return state.SkipWithError(pair.why.c_str());
  auto subscriber = pair.receiver->subscriber("bench.stream");
  auto publisher = pair.sender->publisher("bench.stream");
  if (!subscriber || !publisher) return state.SkipWithError("no topic");
  const double swap_ns = pair_swap_ns();
  double send_ns = 0;
  double take_ns = 0;
  for (auto _ : state) {
    const double begin = thread_cpu_ns();
    for (int i = 0; i < kBurst; ++i) {
      auto loan = publisher->loan(64);
      if (!loan || !loan->send()) return state.SkipWithError("not sent");
    }
    const double sent = thread_cpu_ns();
    for (int i = 0; i < kBurst; ++i) {
      auto message = subscriber->take();
      if (!message) return state.SkipWithError("did not come");
      benchmark::DoNotOptimize(message->bytes().data());
    }
    take_ns += thread_cpu_ns() - sent;
    send_ns += sent - begin;
  }
  const double count = static_cast<double>(state.iterations()) * kBurst;
  state.counters["send_ns"] = send_ns / count;
  state.counters["take_ns"] = take_ns / count;
  state.counters["swap_ns"] = swap_ns;
}
BENCHMARK(StreamBytes);

void PublishTask(benchmark::State& state) {
  Pair pair = attach_pair();
  if (!pair.why.empty()) return state.SkipWithError(pair.why.c_str());
  auto subscriber = pair.receiver->subscriber<Task>("bench.task");
  auto publisher = pair.sender->publisher<Task>("bench.task");
  if (!subscriber || !publisher) return state.SkipWithError("no topic");
  uint64_t id = 0;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    auto loan = publisher->loan();
    if (!loan) return state.SkipWithError("no loan");
    build(loan->root(), ++id);
    if (!loan->send()) return state.SkipWithError("not sent");
    auto message = subscriber->take();
    if (!message) return state.SkipWithError("did not come");
    benchmark::DoNotOptimize(read(message->root()));
  }
}
BENCHMARK(PublishTask);

// What of it stands before the send: a root that was prepared while the last message was on its way.
void PreparedLoan(benchmark::State& state) {
  Pair pair = attach_pair();
  if (!pair.why.empty()) return state.SkipWithError(pair.why.c_str());
  auto subscriber = pair.receiver->subscriber<Task>("bench.prepared");
  auto publisher = pair.sender->publisher<Task>("bench.prepared");
  if (!subscriber || !publisher) return state.SkipWithError("no topic");
  std::vector<double> samples;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    auto loan = publisher->loan();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    state.SetIterationTime(took.count());
    samples.push_back(took.count() * 1e9);
    if (!loan) return state.SkipWithError("no loan");
    build(loan->root(), 1);
    if (!loan->send() || !subscriber->take()) return state.SkipWithError("did not come");
  }
  std::nth_element(samples.begin(),
                   samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2),
                   samples.end());
  state.counters["p50_ns"] = samples[samples.size() / 2];  // Two readings of the clock stand in it.
}
BENCHMARK(PreparedLoan)->UseManualTime()->Iterations(200'000);

}  // namespace
}  // namespace ripstop::perf

BENCHMARK_MAIN();
