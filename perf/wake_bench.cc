// Waking a sleeper: the doorbell beside a bare futex, to and fro, on one processor and on two.
//
// Serves the row "sleeping receiver, both on one core / a core each" (x_floor is its figure; floor_ns
// the bare futex of the same run, rounds in turn) and "a burst is one wake" (RingAwake, RingAgain: what
// a publisher pays for a receiver that needs no wake, in CPU time). Wake times are the clock's medians,
// one way. Range 0 is the processor of the other side.
#include <benchmark/benchmark.h>

#include "beside.h"
#include "echo.h"
#include "ring/doorbell.h"
#include "ring/space.h"

namespace ripstop::perf {
namespace {

using ring::Sleeper;

// The least there is: the word says that something came, and is slept on.
class FutexPingPong {
 public:
  void throw_and_catch() noexcept {
    post(there_, ++sent_);
    await(back_, sent_);
  }
  void answer() noexcept {
    await(there_, ++seen_);
    post(back_, seen_);
  }

 private:
  struct alignas(128) Word {
    std::atomic<uint32_t> word{0};
  };
  static void post(Word& word, uint32_t value) noexcept {
    word.word.store(value, std::memory_order_release);
    ring::futex_wake(word.word, 1);
  }
  static void await(Word& word, uint32_t value) noexcept {
    for (uint32_t now; (now = word.word.load(std::memory_order_acquire)) != value;) {
      (void)ring::futex_wait(word.word, now, 0);
    }
  }
  Word there_;
  Word back_;
  uint32_t sent_ = 0;
  alignas(128) uint32_t seen_ = 0;
};

// A message word that is swapped, as a slot is, and the doorbell of who waits for it. `heavy`: the
// sleeper brings the fence, as a channel's does, because there the message is a plain store.
class DoorbellPingPong {
 public:
  explicit DoorbellPingPong(bool heavy) noexcept : heavy_(heavy) {}

  void throw_and_catch() noexcept {
    post(there_, ++sent_);
    await(back_, sent_);
  }
  void answer() noexcept {
    await(there_, ++seen_);
    post(back_, seen_);
  }

 private:
  struct Way {
    alignas(128) std::atomic<uint64_t> message{0};
    alignas(128) std::atomic<uint32_t> bell{0};
    alignas(128) uint32_t last_rung = 0;
  };
  void post(Way& way, uint64_t value) const noexcept {
    if (heavy_) {
      way.message.store(value, std::memory_order_release);
    } else {
      way.message.exchange(value);
    }
    if (ring::needs_ring(way.bell.load(std::memory_order_relaxed), way.last_rung)) {
      ring::ring_doorbell(way.bell, way.last_rung);
    }
  }
  void await(Way& way, uint64_t value) const noexcept {
    Sleeper sleeper(way.bell);
    while (way.message.load(std::memory_order_acquire) != value) {
      sleeper.arm();
      if (heavy_) (void)ring::heavy_fence();
      if (way.message.load(std::memory_order_acquire) != value) (void)sleeper.wait(0);
      sleeper.disarm();
    }
  }
  bool heavy_;
  Way there_;
  Way back_;
  uint64_t sent_ = 0;
  alignas(128) uint64_t seen_ = 0;
};

void wake(benchmark::State& state, bool heavy) {
  const auto other_cpu = static_cast<unsigned>(state.range(0));
  if (heavy) ring::join_heavy_fences();
  const Pinned pinned(0);
  FutexPingPong futex;
  DoorbellPingPong bell(heavy);
  Echo futex_echo(other_cpu, [&] { futex.answer(); });
  Echo bell_echo(other_cpu, [&] { bell.answer(); });
  interleave(
      state, 500, futex_echo, [&] { futex.throw_and_catch(); }, bell_echo,
      [&] { bell.throw_and_catch(); });
}

void Doorbell(benchmark::State& state) {
  wake(state, false);
}
BENCHMARK(Doorbell)->ArgName("cpu")->Arg(0)->Arg(1)->UseManualTime()->Iterations(40);

void DoorbellHeavyFence(benchmark::State& state) {
  wake(state, true);
}
BENCHMARK(DoorbellHeavyFence)->ArgName("cpu")->Arg(0)->Arg(1)->UseManualTime()->Iterations(40);

// The look at the bell of a receiver that is awake.
void RingAwake(benchmark::State& state) {
  std::atomic<uint32_t> bell{layout::kDoorbellSleepUnit};
  uint32_t last_rung = 0;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    benchmark::DoNotOptimize(ring::needs_ring(bell.load(std::memory_order_relaxed), last_rung));
  }
}
BENCHMARK(RingAwake);

// The second and further messages of a burst, into one sleep.
void RingAgain(benchmark::State& state) {
  std::atomic<uint32_t> bell{layout::kDoorbellSleepUnit | layout::kDoorbellArmed};
  uint32_t last_rung = 0;
  ring::ring_doorbell(bell, last_rung);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    if (ring::needs_ring(bell.load(std::memory_order_relaxed), last_rung))
      return state.SkipWithError("rung twice");
  }
}
BENCHMARK(RingAgain);

// Going to sleep and finding that something came meanwhile.
void ArmDisarm(benchmark::State& state) {
  std::atomic<uint32_t> bell{0};
  Sleeper sleeper(bell);
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    sleeper.arm();
    sleeper.disarm();
  }
}
BENCHMARK(ArmDisarm);

void HeavyFence(benchmark::State& state) {
  ring::join_heavy_fences();
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    if (!ring::heavy_fence()) return state.SkipWithError("the kernel has no membarrier");
  }
}
BENCHMARK(HeavyFence);

}  // namespace
}  // namespace ripstop::perf

BENCHMARK_MAIN();
