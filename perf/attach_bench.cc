// What being attached costs: attach and detach (R11: at most 2 ms at the 95th percentile), and a
// hundred agents that sleep on empty inboxes (R14: supervisor and agents together at most 0.2 % of a
// core in 60 s; the bench looks for IDLE_SECONDS, 10 if not set).
//
//   build/release/perf/attach_bench
#include <benchmark/benchmark.h>

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "bench_supervisor.h"

namespace ripstop::perf {
namespace {

using Clock = std::chrono::steady_clock;

double to_us(Clock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); }

void AttachAndDetach(benchmark::State& state) {
  if (!supervisor().ready()) {
    state.SkipWithError(supervisor().why().c_str());
    return;
  }
  std::vector<double> times_us;
  for (auto _ : state) {
    const auto start = Clock::now();
    auto agent = Agent::attach(supervisor().options("attach"));
    times_us.push_back(to_us(Clock::now() - start));
    if (!agent) {
      state.SkipWithError(agent.error().what.c_str());
      return;
    }
  }
  std::sort(times_us.begin(), times_us.end());
  state.counters["attach_p50_us"] = times_us[times_us.size() / 2];
  state.counters["attach_p95_us"] = times_us[times_us.size() * 95 / 100];
}
BENCHMARK(AttachAndDetach)->Iterations(500)->UseRealTime()->Unit(benchmark::kMicrosecond);

// CPU time of this process, all threads.
double own_cpu_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// User and system time of another process, in clock ticks.
double cpu_seconds_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/schedstat");
  double run_ns = 0;
  file >> run_ns;
  return run_ns / 1e9;
}

void HundredIdleAgents(benchmark::State& state) {
  if (!supervisor().ready()) {
    state.SkipWithError(supervisor().why().c_str());
    return;
  }
  const char* wanted = std::getenv("IDLE_SECONDS");
  const int seconds = wanted != nullptr ? std::atoi(wanted) : 10;
  std::atomic<bool> ending{false};
  std::atomic<int> asleep{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 100; ++i) {
    threads.emplace_back([&, i] {
      AgentOptions options = supervisor().options("idle-" + std::to_string(i));
      options.wait = Wait::Adaptive;  // The bench's own default spins.
      auto agent = Agent::attach(std::move(options));
      if (!agent) return;
      auto inbox = agent->subscriber("idle.wake");
      if (!inbox) return;
      ++asleep;
      while (!ending) (void)inbox->take(std::chrono::nanoseconds::max());
    });
  }
  while (asleep < 100) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  for (auto _ : state) {
    const double own = own_cpu_seconds();
    const double other = cpu_seconds_of(supervisor().pid());
    std::this_thread::sleep_for(std::chrono::seconds(seconds));
    const double spent = own_cpu_seconds() - own + cpu_seconds_of(supervisor().pid()) - other;
    state.counters["core_percent"] = 100 * spent / seconds;
  }
  ending = true;
  auto waker = Agent::attach(supervisor().options("waker"));
  auto wake = waker->publisher("idle.wake");
  (void)wake->send_copy("up");
  for (std::thread& thread : threads) thread.join();
}
BENCHMARK(HundredIdleAgents)->Iterations(1)->UseRealTime()->Unit(benchmark::kSecond);

}  // namespace
}  // namespace ripstop::perf

BENCHMARK_MAIN();
