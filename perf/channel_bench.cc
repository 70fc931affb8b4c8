// The channel below the API: payload in the slot, one producer, one consumer.
//
// Serves the row "channel, 64 B, spinning, one way p50": x_floor of ChannelPingPong is its figure,
// beside a bare cache line in the same run, rounds in turn. The payload is written whole and summed.
// PushPop, one thread, is CPU time.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <vector>

#include "beside.h"
#include "echo.h"
#include "ring/spsc_channel.h"

namespace ripstop::perf {
namespace {

constexpr uint32_t kSlots = 256;

struct Memory {
  explicit Memory(uint32_t payload_bytes)
      : slot_bytes(
            static_cast<uint32_t>(base::round_up(payload_bytes + sizeof(layout::ChannelSlot), 64))),
        words((sizeof(layout::ChannelHeader) + std::size_t{kSlots} * slot_bytes) / sizeof(Line)) {}
  ring::SpscChannel end() {
    auto* header = reinterpret_cast<layout::ChannelHeader*>(words.data());
    return {*header, reinterpret_cast<std::byte*>(header + 1), kSlots, slot_bytes};
  }

  struct alignas(64) Line {
    std::byte bytes[64];
  };
  uint32_t slot_bytes;
  std::vector<Line> words;
};

void fill(std::byte* payload, uint32_t bytes, uint64_t value) noexcept {
  for (uint32_t i = 0; i < bytes; i += sizeof value) std::memcpy(payload + i, &value, sizeof value);
}
uint64_t sum(const std::byte* payload, uint32_t bytes) noexcept {
  uint64_t total = 0;
  for (uint32_t i = 0; i < bytes; i += sizeof total) {
    uint64_t word;
    std::memcpy(&word, payload + i, sizeof word);
    total += word;
  }
  return total;
}

void PushPop(benchmark::State& state) {
  const auto bytes = static_cast<uint32_t>(state.range(0));
  Memory memory(bytes);
  ring::SpscChannel producer = memory.end();
  ring::SpscChannel consumer = memory.end();
  if (!producer.open_producer() || !consumer.open_consumer())
    return state.SkipWithError("no channel");
  uint64_t value = 0;
  BesideSwap beside(state);
  for (auto _ : state) {
    beside.count();
    if (!producer.has_room()) return state.SkipWithError("full");
    fill(producer.next_payload(), bytes, ++value);
    producer.push(bytes, 0);
    if (!consumer.has_message()) return state.SkipWithError("empty");
    benchmark::DoNotOptimize(sum(consumer.front_payload(), consumer.front().payload_bytes));
    consumer.pop();
  }
}
BENCHMARK(PushPop)->ArgName("payload_bytes")->Arg(8)->Arg(48)->Arg(64)->Arg(1024);

void ChannelPingPong(benchmark::State& state) {
  const auto bytes = static_cast<uint32_t>(state.range(0));
  Memory there_memory(bytes);
  Memory back_memory(bytes);
  struct Side {
    ring::SpscChannel out;
    ring::SpscChannel in;
    uint32_t bytes;
    void throw_one(uint64_t value) {
      while (!out.has_room()) {
      }
      fill(out.next_payload(), bytes, value);
      out.push(bytes, 0);
    }
    uint64_t catch_one() {
      while (!in.has_message()) {
      }
      const uint64_t total = sum(in.front_payload(), in.front().payload_bytes);
      in.pop();
      return total;
    }
  };
  Side here{there_memory.end(), back_memory.end(), bytes};
  Side there{back_memory.end(), there_memory.end(), bytes};
  for (Side* side : {&here, &there}) {
    if (!side->out.open_producer() || !side->in.open_consumer())
      return state.SkipWithError("no channel");
  }
  const Pinned pinned(0);
  LinePingPong line;
  Echo line_echo(1, [&] { line.answer(); });
  Echo channel_echo(1, [&] { there.throw_one(there.catch_one()); });
  uint64_t value = 0;
  interleave(
      state, 2000, line_echo, [&] { line.throw_and_catch(); }, channel_echo,
      [&] {
        here.throw_one(++value);
        benchmark::DoNotOptimize(here.catch_one());
      });
}
BENCHMARK(ChannelPingPong)
    ->ArgName("payload_bytes")
    ->Arg(8)
    ->Arg(48)
    ->Arg(64)
    ->Arg(1024)
    ->UseManualTime()
    ->Iterations(100);

}  // namespace
}  // namespace ripstop::perf

BENCHMARK_MAIN();
