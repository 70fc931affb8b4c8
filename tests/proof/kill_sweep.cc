// The suites K1 to K5: each operation in each state, killed or stopped at each instruction.
//
//   proof_kill_sweep K1|K2|K3|K4|K5 [--short|--long] [--only TEXT] [--point N] [--visited FILE] [--verbose]
//
// The last line is the line of figures (tools/proof). --only: the scenarios whose name has TEXT in it.
// --point: that point only, as a FAULT named it (K3, K4, K5). --visited: writes the addresses of all
// instructions that were kill points of K1, one a line; and each scenario is printed with its points.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "proof/healer_sweep.h"
#include "proof/shared_block.h"
#include "proof/stop_sweep.h"
#include "proof/sweep.h"
#include "proof/victim.h"
#include "proof/wake_sweep.h"

namespace {

using namespace ripstop::proof;

// K2's short form kills at every so many points, and wherever the memory changed; the long form at all.
constexpr uint64_t kShortStride = 31;
// K3's short form stops at every so many touches of the memory, and wherever it changed.
constexpr uint64_t kShortTouches = 8;
struct Arguments {
  std::string suite;
  bool is_long = false;
  bool verbose = false;
  std::string only;
  uint64_t point = kAllPoints;
  std::string visited_file;
};

// One scenario's sweep.
struct Job {
  std::string name;
  std::function<void(Figures&)> run;
};

bool parse(int count, char** texts, Arguments& arguments) {
  if (count < 2) return false;
  arguments.suite = texts[1];
  for (int i = 2; i < count; ++i) {
    const std::string text = texts[i];
    if (text == "--long") arguments.is_long = true;
    else if (text == "--verbose") arguments.verbose = true;
    else if (text == "--only" && i + 1 < count) arguments.only = texts[++i];
    else if (text == "--point" && i + 1 < count) arguments.point = std::strtoull(texts[++i], nullptr, 10);
    else if (text == "--visited" && i + 1 < count) arguments.visited_file = texts[++i];
    else if (text != "--short") return false;
  }
  return true;
}

// Lifetime: `visited` outlives them.
std::vector<Job> jobs_of(const Arguments& arguments, Visited& visited) {
  std::vector<Job> jobs;
  if (arguments.suite == "K5") {
    for (const WakeScenario& scenario : wake_scenarios()) {
      jobs.push_back({scenario.name, [=](Figures& figures) { sweep_wakes(scenario, arguments.point, figures); }});
    }
    return jobs;
  }
  for (const Scenario& scenario : scenarios()) {
    const auto add = [&](auto run) { jobs.push_back({scenario.name(), run}); };
    if (arguments.suite == "K1" && scenario.request) {
      add([=](Figures& figures) { sweep_request(scenario, arguments.point, figures); });
    } else if (arguments.suite == "K1") {
      add([=, &visited](Figures& figures) { sweep(Suite::K1, scenario, 1, figures, visited); });
    } else if (scenario.request) {
      continue;  // Not the victim's.
    } else if (arguments.suite == "K2") {
      add([=, &visited](Figures& figures) { sweep(Suite::K2, scenario, arguments.is_long ? 1 : kShortStride, figures, visited); });
    } else if (arguments.suite == "K3" && !scenario.look) {
      add([=](Figures& figures) { sweep_stops(scenario, arguments.is_long ? 1 : kShortTouches, arguments.point, figures); });
    } else if (arguments.suite == "K4") {
      const uint64_t turn = arguments.is_long ? kAllTurns : jobs.size();  // The short form: each scenario one of them.
      add([=](Figures& figures) { sweep_healers(scenario, turn, arguments.point, figures); });
    }
  }
  return jobs;
}

// As many at a time as there are processors, each in a process of its own: a fabric that was swept is left
// as it is.
class Pool {
 public:
  Pool(bool verbose, bool lists) : verbose_(verbose), lists_(lists) {}

  void run(const std::vector<Job>& jobs) {
    const auto size = static_cast<std::size_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
    places_.resize(std::min(size, jobs.size()));
    for (Place& place : places_) place.figures = share<Figures>();
    for (const Job& job : jobs) {
      start(free_place(), job);
    }
    for (Place& place : places_) {
      if (place.pid != 0) finish(place);
    }
  }
  const Figures& total() const { return total_; }

 private:
  struct Place {
    pid_t pid = 0;
    Figures* figures = nullptr;
    std::string name;
  };

  Place& free_place() {
    for (Place& place : places_) {
      if (place.pid == 0) return place;
    }
    siginfo_t ended{};
    while (waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    Place& place = *std::find_if(places_.begin(), places_.end(), [&](const Place& each) { return each.pid == ended.si_pid; });
    finish(place);
    return place;
  }

  void start(Place& place, const Job& job) {
    *place.figures = Figures{};
    place.name = job.name;
    std::fflush(stdout);
    place.pid = fork();
    if (place.pid != 0) return;
    job.run(*place.figures);
    _exit(0);
  }

  void finish(Place& place) {
    int status = 0;
    while (waitpid(place.pid, &status, 0) < 0 && errno == EINTR) {
    }
    place.pid = 0;
    Figures& figures = *place.figures;
    if (!figures.complete) {
      ++figures.faults[static_cast<std::size_t>(Fault::Wrong)];
      std::snprintf(figures.first_words, sizeof figures.first_words, "%s: the sweep itself broke off, status %d", place.name.c_str(), status);
    }
    total_.point_count += figures.point_count;
    total_.library_point_count += figures.library_point_count;
    total_.state_count += figures.state_count;
    total_.kill_count += figures.kill_count;
    total_.trial_count += figures.trial_count;
    for (std::size_t i = 0; i < kFaultCount; ++i) total_.faults[i] += figures.faults[i];
    if (verbose_) {
      std::printf("%-52s %7llu points %5llu states %6llu kills %6llu trials\n", place.name.c_str(),
                  static_cast<unsigned long long>(figures.point_count), static_cast<unsigned long long>(figures.state_count),
                  static_cast<unsigned long long>(figures.kill_count), static_cast<unsigned long long>(figures.trial_count));
    }
    if (lists_) std::printf("SCENARIO %llu %s\n", static_cast<unsigned long long>(figures.point_count), place.name.c_str());
    if (figures.first_words[0] != 0) std::printf("FAULT %s\n", figures.first_words);
    std::fflush(stdout);
  }

  bool verbose_;
  bool lists_;
  std::vector<Place> places_;
  Figures total_;
};

// What the points of a suite were, for its line of figures.
std::string describe(const std::string& suite, std::size_t scenario_count, const Figures& total) {
  const std::string scenarios = std::to_string(scenario_count) + " scenarios, ";
  if (suite == "K3") {
    return scenarios + std::to_string(total.trial_count) + " agents really stopped, at " + std::to_string(total.state_count) +
           " touches of the memory; a point is an instruction between the touch before and one of these";
  }
  if (suite == "K4") {
    return scenarios + std::to_string(total.trial_count) + " deaths of a supervisor judged, one for each state that a recovery leaves the memory in; a point is an instruction of one that was counted";
  }
  if (suite == "K5") return scenarios + std::to_string(total.kill_count) + " real deaths and stops, with those to be woken asleep in the kernel";
  return scenarios + std::to_string(total.library_point_count) + " of the points in Ripstop's code, " +
         std::to_string(total.state_count) + " distinct memory states";
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
    std::fprintf(stderr, "usage: kill_sweep K1|K2|K3|K4|K5 [--short|--long] [--only TEXT] [--point N] [--visited FILE] [--verbose]\n");
    return 2;
  }
  const auto start = std::chrono::steady_clock::now();
  Visited visited;
  visited.byte_count = program_end() - program_start();
  visited.bytes = share<uint8_t>(visited.byte_count);
  std::vector<Job> jobs = jobs_of(arguments, visited);
  std::erase_if(jobs, [&](const Job& job) { return job.name.find(arguments.only) == std::string::npos; });
  Pool pool(arguments.verbose, !arguments.visited_file.empty());
  pool.run(jobs);
  if (!arguments.visited_file.empty()) write_visited(arguments.visited_file, visited);
  const Figures& total = pool.total();
  const auto fault_count = [&](Fault fault) { return static_cast<unsigned long long>(total.faults[static_cast<std::size_t>(fault)]); };
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const uint64_t points = arguments.suite == "K2" ? total.kill_count : total.point_count;
  std::printf("%s points=%llu lost=%llu doubled=%llu leaked=%llu blocked=%llu wrong=%llu seconds=%.1f what=%s\n", arguments.suite.c_str(),
              static_cast<unsigned long long>(points), fault_count(Fault::Lost), fault_count(Fault::Doubled), fault_count(Fault::Leaked),
              fault_count(Fault::Blocked), fault_count(Fault::Wrong), seconds, describe(arguments.suite, jobs.size(), total).c_str());
  uint64_t faults = 0;
  for (const uint64_t each : total.faults) faults += each;
  return faults == 0 && !jobs.empty() ? 0 : 1;
}
