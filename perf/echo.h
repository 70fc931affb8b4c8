// Two threads, each on its processor, that throw something to and fro: the subject of a bench and,
// in turn with it, the floor it is compared with.
#pragma once

#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "base/cache_line.h"

namespace ripstop::perf {

inline void pin_to(unsigned cpu) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// Gives the processors back at the end.
class Pinned {
 public:
  explicit Pinned(unsigned cpu) noexcept {
    pthread_getaffinity_np(pthread_self(), sizeof before_, &before_);
    pin_to(cpu);
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { pthread_setaffinity_np(pthread_self(), sizeof before_, &before_); }

 private:
  cpu_set_t before_;
};

// The other side: asleep until a round is asked for, so that two of them do not disturb one another.
class Echo {
 public:
  // `answer` waits for one throw and answers it.
  Echo(unsigned cpu, std::function<void()> answer)
      : answer_(std::move(answer)), thread_([this, cpu] { run(cpu); }) {}
  Echo(const Echo&) = delete;
  Echo& operator=(const Echo&) = delete;
  ~Echo() {
    wanted_.store(-1);
    wanted_.notify_one();
    thread_.join();
  }
  void answer_next(int count) {
    wanted_.store(count);
    wanted_.notify_one();
  }
  void finish_round() {
    for (int left; (left = wanted_.load()) > 0;) wanted_.wait(left);
  }

 private:
  void run(unsigned cpu) {
    pin_to(cpu);
    for (;;) {
      wanted_.wait(0);
      const int count = wanted_.load();
      if (count < 0) return;
      for (int i = 0; i < count; ++i) answer_();
      wanted_.store(0);
      wanted_.notify_one();
    }
  }
  std::function<void()> answer_;
  std::atomic<int> wanted_{0};
  std::thread thread_;
};

// One way, in nanoseconds: the median over a round of `count` throws, a multiple of kTripsPerSample.
// The clock costs as much as half a trip, so it is read once for several.
inline constexpr int kTripsPerSample = 10;
template <class Throw>
double round_ns(Echo& echo, int count, std::vector<double>& samples, Throw throw_and_catch) {
  samples.clear();
  echo.answer_next(count);
  for (int i = 0; i < count; i += kTripsPerSample) {
    const auto begin = std::chrono::steady_clock::now();
    for (int trip = 0; trip < kTripsPerSample; ++trip) throw_and_catch();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    samples.push_back(took.count() / (2 * kTripsPerSample));
  }
  echo.finish_round();
  const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
  std::nth_element(samples.begin(), middle, samples.end());
  return *middle;
}

// Plays rounds of the floor and of the subject in turn, an iteration a pair of rounds. The bench's
// time is the subject's median, one way; `floor_ns` and `x_floor` say what is beside it.
template <class Floor, class Subject>
void interleave(benchmark::State& state, int count, Echo& floor_echo, Floor floor,
                Echo& subject_echo, Subject subject) {
  std::vector<double> samples;
  samples.reserve(static_cast<std::size_t>(count));
  std::vector<double> floors;
  std::vector<double> subjects;
  round_ns(floor_echo, count, samples, floor);  // Warm.
  round_ns(subject_echo, count, samples, subject);
  for (auto _ : state) {
    floors.push_back(round_ns(floor_echo, count, samples, floor));
    subjects.push_back(round_ns(subject_echo, count, samples, subject));
    state.SetIterationTime(subjects.back() * 1e-9);
  }
  const auto median = [](std::vector<double>& values) {
    std::nth_element(values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
  };
  const double floor_ns = median(floors);
  const double subject_ns = median(subjects);
  state.counters["floor_ns"] = floor_ns;
  state.counters["p50_ns"] = subject_ns;
  state.counters["x_floor"] = subject_ns / floor_ns;
}

// A bare cache line each way: the floor of everything that spins.
struct alignas(2 * base::kCacheLineBytes) BareLine {
  std::atomic<uint64_t> word{0};
};
class LinePingPong {
 public:
  void throw_and_catch() noexcept {
    there_.word.store(++sent_, std::memory_order_release);
    while (back_.word.load(std::memory_order_acquire) != sent_) {
    }
  }
  void answer() noexcept {
    while (there_.word.load(std::memory_order_acquire) == seen_) {
    }
    back_.word.store(++seen_, std::memory_order_release);
  }

 private:
  BareLine there_;
  BareLine back_;
  alignas(2 * base::kCacheLineBytes) uint64_t sent_ = 0;
  alignas(2 * base::kCacheLineBytes) uint64_t seen_ = 0;
};

}  // namespace ripstop::perf
