// The suites K1 and K2: each operation in each state, killed at each instruction.
//
//   proof_kill_sweep K1|K2 [--short|--long] [--only TEXT] [--visited FILE] [--verbose]
//
// The last line is the line of figures (tools/proof). --only: the scenarios whose name has TEXT in it.
// --visited: writes the addresses of all instructions that were kill points, one a line.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "proof/sweep.h"
#include "proof/victim.h"

namespace {

using namespace ripstop::proof;

// K2's short form kills at every so many points, and wherever the memory changed; the long form at all.
constexpr uint64_t kShortStride = 31;

struct Arguments {
  Suite suite = Suite::K1;
  bool is_long = false;
  bool verbose = false;
  std::string only;
  std::string visited_file;
};

bool parse(int count, char** texts, Arguments& arguments) {
  if (count < 2) return false;
  if (std::strcmp(texts[1], "K2") == 0) arguments.suite = Suite::K2;
  else if (std::strcmp(texts[1], "K1") != 0) return false;
  for (int i = 2; i < count; ++i) {
    const std::string text = texts[i];
    if (text == "--long") arguments.is_long = true;
    else if (text == "--verbose") arguments.verbose = true;
    else if (text == "--only" && i + 1 < count) arguments.only = texts[++i];
    else if (text == "--visited" && i + 1 < count) arguments.visited_file = texts[++i];
    else if (text != "--short") return false;
  }
  return true;
}

template <class T>
T* shared(std::size_t bytes = sizeof(T)) {
  void* place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return place == MAP_FAILED ? nullptr : new (place) T;
}

// Each in a process of its own: a fabric that was swept is left as it is.
void sweep_apart(const Arguments& arguments, const Scenario& scenario, Figures& figures, Visited& visited) {
  figures = Figures{};
  const pid_t pid = fork();
  if (pid == 0) {
    sweep(arguments.suite, scenario, arguments.is_long ? 1 : kShortStride, figures, visited);
    _exit(0);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (figures.complete) return;
  ++figures.faults[static_cast<std::size_t>(Fault::Wrong)];
  std::snprintf(figures.first_words, sizeof figures.first_words, "%s: the sweep itself broke off, status %d", scenario.name().c_str(), status);
}

void write_visited(const std::string& file, const Visited& visited) {
  std::FILE* out = std::fopen(file.c_str(), "w");
  if (out == nullptr) return;
  for (uint64_t offset = 0; offset < visited.byte_count; ++offset) {
    if (visited.bytes[offset] != 0) std::fprintf(out, "%llx\n", static_cast<unsigned long long>(offset));
  }
  std::fclose(out);
}

}  // namespace

int main(int count, char** texts) {
  Arguments arguments;
  if (!parse(count, texts, arguments)) {
    std::fprintf(stderr, "usage: kill_sweep K1|K2 [--short|--long] [--only TEXT] [--visited FILE] [--verbose]\n");
    return 2;
  }
  const char* name = arguments.suite == Suite::K1 ? "K1" : "K2";
  const auto start = std::chrono::steady_clock::now();
  Visited visited;
  visited.byte_count = program_end() - program_start();
  visited.bytes = shared<uint8_t>(visited.byte_count);
  auto* figures = shared<Figures>();
  Figures total;
  uint64_t scenario_count = 0;
  for (const Scenario& scenario : scenarios()) {
    if (scenario.name().find(arguments.only) == std::string::npos) continue;
    sweep_apart(arguments, scenario, *figures, visited);
    ++scenario_count;
    total.point_count += figures->point_count;
    total.library_point_count += figures->library_point_count;
    total.state_count += figures->state_count;
    total.kill_count += figures->kill_count;
    for (std::size_t i = 0; i < kFaultCount; ++i) total.faults[i] += figures->faults[i];
    if (arguments.verbose) {
      std::printf("%-52s %7llu points %5llu states %6llu kills\n", scenario.name().c_str(), static_cast<unsigned long long>(figures->point_count),
                  static_cast<unsigned long long>(figures->state_count), static_cast<unsigned long long>(figures->kill_count));
    }
    if (figures->first_words[0] != 0) std::printf("FAULT %s\n", figures->first_words);
    std::fflush(stdout);
  }
  if (!arguments.visited_file.empty()) write_visited(arguments.visited_file, visited);
  const auto fault_count = [&](Fault fault) { return static_cast<unsigned long long>(total.faults[static_cast<std::size_t>(fault)]); };
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const bool is_k1 = arguments.suite == Suite::K1;
  std::printf("%s points=%llu lost=%llu doubled=%llu leaked=%llu blocked=%llu wrong=%llu seconds=%.1f what=%llu scenarios, %llu of the points in Ripstop's code, %llu distinct memory states\n",
              name, static_cast<unsigned long long>(is_k1 ? total.point_count : total.kill_count), fault_count(Fault::Lost), fault_count(Fault::Doubled),
              fault_count(Fault::Leaked), fault_count(Fault::Blocked), fault_count(Fault::Wrong), seconds,
              static_cast<unsigned long long>(scenario_count), static_cast<unsigned long long>(total.library_point_count),
              static_cast<unsigned long long>(total.state_count));
  uint64_t faults = 0;
  for (const uint64_t each : total.faults) faults += each;
  return faults == 0 && scenario_count > 0 ? 0 : 1;
}
