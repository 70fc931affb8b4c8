// How a run goes: the parent makes what all share, forks one process per end, pins each, and waits.
// A child that fails notes why and ends; the parent then ends the others. A run that hangs is ended
// by the parent's alarm, and its children by PR_SET_PDEATHSIG.
#include "harness.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <vector>

namespace rivals {
namespace {

bool g_yielding = false;
bool g_is_child = false;
double g_tsc_hz = 0.0;

std::uint64_t now_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

double measure_tsc_hz() {
  const std::uint64_t begin_ns = now_ns(CLOCK_MONOTONIC_RAW);
  const std::uint64_t begin = tsc();
  std::uint64_t end_ns = begin_ns;
  while (end_ns - begin_ns < 4'000'000) end_ns = now_ns(CLOCK_MONOTONIC_RAW);
  return static_cast<double>(tsc() - begin) * 1e9 / static_cast<double>(end_ns - begin_ns);
}

Control* make_control() {
  g_tsc_hz = measure_tsc_hz();
  void* memory = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("perf: mmap");
    std::exit(1);
  }
  return new (memory) Control;
}

// The process that there is one of has core 0; the others take the cores in turn, from core 1.
unsigned core_of(const Plan& plan, unsigned process_index) {
  const auto core_count = static_cast<unsigned>(sysconf(_SC_NPROCESSORS_ONLN));
  if (plan.placement == Placement::OneCore) return core_count - 1;
  return process_index % core_count;
}

void pin(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) fail_errno("sched_setaffinity");
}

std::uint64_t own_preempt_count() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_nivcsw);
}

double ns_of(double ticks) {
  return ticks * 1e9 / g_tsc_hz;
}

// Prints `"key": value` or null. Half: a round trip is two ways.
void print_quantile(const char* key, const std::vector<std::uint32_t>& sorted, double share,
                    std::size_t at_least) {
  if (sorted.size() < at_least) {
    std::printf(", \"%s\": null", key);
    return;
  }
  const auto last = static_cast<double>(sorted.size() - 1);
  const auto rank = static_cast<std::size_t>(share * last + 0.5);
  std::printf(", \"%s\": %.1f", key, ns_of(sorted[rank]) / 2.0);
}

void print_end(const Plan& plan) {
  std::printf(", \"preempted_per_s\": %.1f}\n",
              static_cast<double>(control().preempt_count.load()) / plan.seconds);
}

void print_figures(const Plan& plan) {
  Control& shared = control();
  if (plan.scenario == Scenario::Roundtrip) {
    std::vector<std::uint32_t> sorted(shared.samples, shared.samples + shared.sample_count);
    std::sort(sorted.begin(), sorted.end());
    std::printf("{\"samples\": %zu", sorted.size());
    print_quantile("p50_ns", sorted, 0.50, 1);
    print_quantile("p95_ns", sorted, 0.95, 20);
    print_quantile("p99_ns", sorted, 0.99, 100);
    print_quantile("p999_ns", sorted, 0.999, 1000);
    if (shared.line_ticks > 0) std::printf(", \"line_ns\": %.1f", ns_of(shared.line_ticks) / 2.0);
    print_end(plan);
    return;
  }
  std::uint64_t count = 0;
  std::uint64_t cpu_ns = 0;
  std::uint64_t end_tsc = 0;
  for (const ProcessResult& result : shared.results) {
    count += result.count;
    cpu_ns += result.cpu_ns;
    end_tsc = std::max(end_tsc, result.end_tsc);
  }
  if (count == 0) {
    std::printf("{\"error\": \"nothing arrived after the warm-up\"}\n");
  } else if (plan.scenario == Scenario::Cost) {
    std::printf("{\"samples\": %lu, \"cpu_ns_per_msg\": %.1f", count,
                static_cast<double>(cpu_ns) / static_cast<double>(count));
    print_end(plan);
  } else {
    const Clock clock(plan);
    const double seconds = static_cast<double>(end_tsc - clock.warm) / g_tsc_hz;
    std::printf("{\"samples\": %lu, \"msgs_per_s\": %.0f", count,
                static_cast<double>(count) / seconds);
    print_end(plan);
  }
}

[[noreturn]] void run_child(const Plan& plan, unsigned index,
                            const std::function<void(unsigned)>& body) {
  g_is_child = true;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_TIMERSLACK, 1UL);
  set_yielding(plan.oversubscribed());
  pin(core_of(plan, index));
  (void)madvise(&control(), sizeof(Control), 23 /* MADV_POPULATE_WRITE */);
  body(index);
  std::exit(0);
}

void note_error(std::string_view what) {
  Control& shared = control();
  if (shared.failed.exchange(true)) return;
  std::snprintf(shared.error, sizeof shared.error, "%.*s", static_cast<int>(what.size()),
                what.data());
  for (char& letter : shared.error) {  // It is printed as a JSON string as it is.
    if (letter == '"' || letter == '\\' ||
        (letter != '\0' && static_cast<unsigned char>(letter) < ' '))
      letter = '\'';
  }
}

}  // namespace

Control& control() {
  static Control* const shared = make_control();
  return *shared;
}

double tsc_hz() {
  return g_tsc_hz;
}

void fail(std::string_view what) {
  note_error(what);
  if (!g_is_child) {
    std::printf("{\"error\": \"%s\"}\n", control().error);
    std::fflush(stdout);
  }
  _exit(1);
}

void fail_errno(std::string_view what) {
  fail(std::string(what) + ": " + std::strerror(errno));
}

void meet(const Plan& plan, unsigned phase) {
  static std::uint64_t preempted_before = 0;
  Control& shared = control();
  if (phase == 2) shared.preempt_count.fetch_add(own_preempt_count() - preempted_before);
  const std::uint32_t all = plan.process_count();
  if (shared.arrived[phase].fetch_add(1) + 1 == all && phase == 1) shared.start_tsc.store(tsc());
  while (shared.arrived[phase].load() < all || (phase == 1 && shared.start_tsc.load() == 0)) {
    if (phase == 1) {
      sched_yield();
    } else {
      usleep(200);
    }
  }
  preempted_before = own_preempt_count();
}

void measure_line(unsigned index, unsigned turn) {
  constexpr std::uint64_t kRounds = 4000;
  static std::uint32_t samples[kRounds];
  Control& shared = control();
  std::atomic<std::uint64_t>& mine = shared.bare_lines[index].word;
  std::atomic<std::uint64_t>& theirs = shared.bare_lines[1 - index].word;
  for (std::uint64_t i = 1; i <= kRounds; ++i) {
    const std::uint64_t word = turn * kRounds + i;
    const std::uint64_t begin = tsc();
    if (index == 0) mine.store(word, std::memory_order_release);
    while (theirs.load(std::memory_order_acquire) < word) {
    }
    if (index == 1) mine.store(word, std::memory_order_release);
    samples[i - 1] = static_cast<std::uint32_t>(tsc() - begin);
  }
  if (index != 0) return;
  std::nth_element(samples, samples + kRounds / 2, samples + kRounds);
  shared.line_ticks += 0.5 * samples[kRounds / 2];
}

std::uint64_t own_cpu_ns() {
  return now_ns(CLOCK_PROCESS_CPUTIME_ID);
}

std::uint64_t cpu_ns_of(pid_t pid) {
  clockid_t clock = 0;
  if (pid == 0 || clock_getcpuclockid(pid, &clock) != 0) return 0;
  return now_ns(clock);
}

void set_yielding(bool yielding) {
  g_yielding = yielding;
}

void wait_a_moment() {
  static unsigned turn = 0;
  if (g_yielding && ++turn % 16 == 0) sched_yield();
}

int print_skip(const std::string& reason) {
  std::printf("{\"skip\": \"%s\"}\n", reason.c_str());
  return 0;
}

int run_processes(const Plan& plan, const std::function<void(unsigned)>& body) {
  (void)control();
  alarm(10 + static_cast<unsigned>(plan.seconds * 4));
  std::fflush(stdout);
  std::vector<pid_t> children;
  for (unsigned index = 0; index < plan.process_count(); ++index) {
    const pid_t child = fork();
    if (child == 0) run_child(plan, index, body);
    if (child < 0) fail_errno("fork");
    children.push_back(child);
  }
  for (std::size_t ended = 0; ended < children.size(); ++ended) {
    int status = 0;
    const pid_t child = wait(&status);
    if (child < 0) break;
    std::replace(children.begin(), children.end(), child, pid_t{0});
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
    if (WIFSIGNALED(status))
      note_error(std::string("a process ended by signal ") + strsignal(WTERMSIG(status)));
    note_error("a process ended with status " + std::to_string(WEXITSTATUS(status)));
    for (const pid_t other : children) {
      if (other != 0) kill(other, SIGKILL);
    }
  }
  Control& shared = control();
  if (shared.failed.load()) {
    std::printf("{\"error\": \"%s\"}\n", shared.error);
    return 1;
  }
  print_figures(plan);
  return 0;
}

}  // namespace rivals
