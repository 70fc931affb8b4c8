// The work is done in processes of its own, because a finding ends one: which corruption it was at stands in
// memory that it shares, and another process goes on behind it.
#include "scribbler/static_sweep.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/check.h"
#include "proof/shared_block.h"
#include "scribbler/corruption.h"
#include "scribbler/readers.h"
#include "scribbler/steps.h"

namespace ripstop::proof {

namespace {

// A privileged call's bound. A step is a basic block, one to three nanoseconds: below a millisecond.
constexpr uint64_t kPrivilegedStepsMax = 300'000;
constexpr uint64_t kFaultsMax = 20;
constexpr int kTimings = 5;

// What a worker has done. Its parent reads it when the worker has ended.
struct Report {
  std::atomic<uint64_t> next;  // The corruption it is at.
  std::atomic<uint64_t> done;
  Calls calls;
  Outcomes outcomes;
};

// Corruption `number` is the number / 2-th of one of the two grounds.
struct Grounds {
  Ground fan_out{Ground::Kind::FanOut};
  Ground direct{Ground::Kind::Direct};
  Ground& of(uint64_t number) { return number % 2 == 0 ? fan_out : direct; }
};

void run_one(Grounds& grounds, uint64_t number, Calls& calls, Outcomes& outcomes) {
  Ground& ground = grounds.of(number);
  ground.restore();
  corrupt(ground, number / 2);
  run_readers(ground, number, calls, outcomes);
}

// Every `step`-th of the numbers from `first`, below `count`.
void work(uint64_t first, uint64_t step, uint64_t count, Report& report) {
  Grounds grounds;
  for (uint64_t number = first; number < count; number += step) {
    report.next.store(number);
    run_one(grounds, number, report.calls, report.outcomes);
    report.done.fetch_add(1);
  }
  report.next.store(count);
  // The worst ones again, for their time.
  for (int i = 0; i < kTimings; ++i) {
    for (const CallFigures& figures : Calls(report.calls)) {
      if (figures.steps_max != 0) run_one(grounds, figures.worst, report.calls, report.outcomes);
    }
  }
}

std::string description(uint64_t number) {
  Grounds grounds;
  return std::string(number % 2 == 0 ? "fan-out, " : "direct lanes, ") + describe(grounds.of(number), number / 2);
}

void tell(const char* what, uint64_t number) {
  std::printf("FAULT corruption %llu (%s): %s; again: proof_scribbler static --play %llu\n", static_cast<unsigned long long>(number),
              description(number).c_str(), what, static_cast<unsigned long long>(number));
  std::fflush(stdout);
}

// A process that does the numbers from `first`. Forked by the only thread there is.
pid_t start_worker(uint64_t first, uint64_t step, uint64_t count, Report& report) {
  const pid_t pid = fork();
  RIPSTOP_CHECK(pid >= 0);
  if (pid != 0) return pid;
  work(first, step, count, report);
  _exit(0);
}

void add(Calls& all, const Calls& some) {
  for (std::size_t i = 0; i < kCallCount; ++i) {
    if (some[i].steps_max > all[i].steps_max) all[i] = some[i];
  }
}

uint64_t judge(const Calls& calls) {
  uint64_t too_long = 0;
  std::printf("call         most steps       us  corruption\n");
  for (std::size_t i = 0; i < kCallCount; ++i) {
    const Call call = static_cast<Call>(i);
    std::printf("%-12s %10llu %8.1f  %llu\n", name_of(call), static_cast<unsigned long long>(calls[i].steps_max),
                static_cast<double>(calls[i].ns) / 1000.0, static_cast<unsigned long long>(calls[i].worst));
    if (!is_privileged(call) || calls[i].steps_max <= kPrivilegedStepsMax) continue;
    ++too_long;
    tell((std::string(name_of(call)) + " takes " + std::to_string(calls[i].steps_max) + " steps, " + std::to_string(kPrivilegedStepsMax) + " are allowed").c_str(),
         calls[i].worst);
  }
  return too_long;
}

}  // namespace

SweepFigures sweep(uint64_t count, uint64_t step) {
  const unsigned worker_count = std::max(1u, std::thread::hardware_concurrency());
  Report* reports = share<Report>(worker_count);
  std::map<pid_t, unsigned> workers;
  for (unsigned i = 0; i < worker_count; ++i) workers[start_worker(i * step, worker_count * step, count, reports[i])] = i;
  uint64_t crashes = 0;
  uint64_t hangs = 0;
  while (!workers.empty()) {
    int status = 0;
    const pid_t pid = wait(&status);
    RIPSTOP_CHECK(workers.contains(pid));
    const unsigned worker = workers[pid];
    workers.erase(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    const uint64_t number = reports[worker].next.load();
    const bool hung = WIFEXITED(status) && WEXITSTATUS(status) == kHungStatus;
    ++(hung ? hangs : crashes);
    tell(hung ? "a call does not end" : WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a sanitizer's finding, above", number);
    // Another one goes on behind it.
    const uint64_t next = number + worker_count * step;
    if (crashes + hangs < kFaultsMax && next < count) workers[start_worker(next, worker_count * step, count, reports[worker])] = worker;
  }
  SweepFigures figures;
  Calls calls{};
  Outcomes outcomes;
  for (unsigned i = 0; i < worker_count; ++i) {
    figures.points += reports[i].done.load();
    add(calls, reports[i].calls);
    outcomes.taken += reports[i].outcomes.taken;
    outcomes.corrupt += reports[i].outcomes.corrupt;
    outcomes.named += reports[i].outcomes.named;
  }
  std::printf("receivers took %llu messages and said Corrupt %llu times, %llu of them with an offender\n",
              static_cast<unsigned long long>(outcomes.taken), static_cast<unsigned long long>(outcomes.corrupt),
              static_cast<unsigned long long>(outcomes.named));
  figures.wrong = crashes;
  figures.blocked = hangs + judge(calls);
  if (outcomes.corrupt == 0 || outcomes.taken == 0) {
    ++figures.wrong;
    std::printf("FAULT no receiver met any damage: nothing was tested\n");
  }
  return figures;
}

SweepFigures play(uint64_t number) {
  std::printf("corruption %llu: %s\n", static_cast<unsigned long long>(number), description(number).c_str());
  Grounds grounds;
  Calls calls{};
  Outcomes outcomes;
  run_one(grounds, number, calls, outcomes);
  const uint64_t too_long = judge(calls);
  return {1, 0, too_long};
}

}  // namespace ripstop::proof
