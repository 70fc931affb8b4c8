// The scale is measured, not taken from the kernel's vsyscall page, which is not an interface. A
// counter is trusted only if the kernel itself trusts it as clock source: it tests for drift between
// cores and for virtual machines that stop it.
#include "base/clock.h"

#include <ctime>

#include <cstdio>
#include <cstring>

namespace ripstop::base {

uint64_t monotonic_ns() noexcept {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<uint64_t>(time.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(time.tv_nsec);
}

#if defined(__x86_64__)
namespace {

bool kernel_trusts_tsc() noexcept {
  std::FILE* file = std::fopen("/proc/cpuinfo", "re");
  if (file == nullptr) return false;
  bool invariant = false;
  char line[8192];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::strncmp(line, "flags", 5) != 0) continue;
    invariant = std::strstr(line, " constant_tsc") != nullptr && std::strstr(line, " nonstop_tsc") != nullptr;
    break;
  }
  std::fclose(file);
  if (!invariant) return false;
  file = std::fopen("/sys/devices/system/clocksource/clocksource0/current_clocksource", "re");
  if (file == nullptr) return false;
  const bool read = std::fgets(line, sizeof line, file) != nullptr;
  std::fclose(file);
  // kvm-clock is the same counter, scaled by the host.
  return read && (std::strncmp(line, "tsc", 3) == 0 || std::strncmp(line, "kvm-clock", 9) == 0);
}

struct Reading {
  uint64_t tsc;
  uint64_t ns;
};

// The tightest of several pairs: the kernel's time between two counter readings.
Reading read_both() noexcept {
  Reading best{};
  uint64_t best_width = ~uint64_t{0};
  for (int i = 0; i < 32; ++i) {
    const uint64_t before = __builtin_ia32_rdtsc();
    const uint64_t ns = monotonic_ns();
    const uint64_t width = __builtin_ia32_rdtsc() - before;
    if (width < best_width) {
      best_width = width;
      best = {before + width / 2, ns};
    }
  }
  return best;
}

}  // namespace

TscScale measure_tsc_scale(uint64_t sample_ns) noexcept {
  if (!kernel_trusts_tsc()) return {};
  const Reading first = read_both();
  const timespec pause{static_cast<time_t>(sample_ns / 1'000'000'000u), static_cast<long>(sample_ns % 1'000'000'000u)};
  nanosleep(&pause, nullptr);
  const Reading last = read_both();
  if (last.tsc <= first.tsc || last.ns <= first.ns) return {};
  const auto mult = static_cast<uint64_t>((static_cast<unsigned __int128>(last.ns - first.ns) << 32) /
                                          (last.tsc - first.tsc));
  return {last.tsc, last.ns, mult};
}
#else
TscScale measure_tsc_scale(uint64_t) noexcept { return {}; }
#endif

}  // namespace ripstop::base
