// E1: every interleaving of small scenes over the library's own code, with kills among the choices.
//
//   explorer [--short | --long] [--only TEXT] [--bounds P,K[,H]] [--seconds S] [--trace] [--list]
//   explorer --only NAME --replay SCHEDULE
//
// --only: the play of that name, or those whose name has TEXT in it. --bounds: at most P preemptions, K kills and H held stores
// instead of what the play says. --seconds: gives each search up after so long, incomplete. --trace: says what
// the schedule of a fault does, access by access; --replay does that for a schedule of a FAULT line.
// The last line is the line of figures (tools/proof).
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "proof/explorer/arena.h"
#include "proof/explorer/plays.h"
#include "proof/explorer/search.h"

namespace {

using namespace ripstop::explorer;

struct Arguments {
  bool is_long = false;
  bool is_traced = false;
  bool lists = false;
  std::string only;
  std::string replay;
  std::vector<Bounds> bounds;
  double seconds = 0;
};

bool parse(int count, char** texts, Arguments& arguments) {
  for (int i = 1; i < count; ++i) {
    const std::string text = texts[i];
    const bool has_value = i + 1 < count;
    if (text == "--long") arguments.is_long = true;
    else if (text == "--trace") arguments.is_traced = true;
    else if (text == "--list") arguments.lists = true;
    else if (text == "--only" && has_value) arguments.only = texts[++i];
    else if (text == "--replay" && has_value) arguments.replay = texts[++i];
    else if (text == "--seconds" && has_value) arguments.seconds = std::atof(texts[++i]);
    else if (text == "--bounds" && has_value) {
      Bounds bounds{0, 0, 0};
      if (std::sscanf(texts[++i], "%u,%u,%u", &bounds.preemptions, &bounds.kills, &bounds.holds) < 2) return false;
      arguments.bounds.push_back(bounds);
    } else if (text != "--short") return false;
  }
  return true;
}

std::string to_text(const Bounds& bounds) {
  std::string text = std::to_string(bounds.preemptions) + " preemptions, " + std::to_string(bounds.kills) + " kills";
  if (bounds.holds != 0) text += ", " + std::to_string(bounds.holds) + " held stores";
  return text;
}

// What crashes says where: the name of the play; its schedule is lost, --bounds finds a smaller one.
const char* playing = "";
void crashed(int number) {
  char text[256];
  const int length = std::snprintf(text, sizeof text, "FAULT wrong: %s: crashed, signal %d\n", playing, number);
  [[maybe_unused]] const auto written = write(STDOUT_FILENO, text, static_cast<std::size_t>(length));
  _exit(3);
}
void watch_for_crashes() {
  static char stack[64 * 1024];
  const stack_t other{stack, 0, sizeof stack};
  sigaltstack(&other, nullptr);
  for (const int number : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) {
    struct sigaction action {};
    action.sa_handler = crashed;
    action.sa_flags = SA_ONSTACK | static_cast<int>(SA_RESETHAND);
    sigaction(number, &action, nullptr);
  }
}

struct Figures {
  uint64_t schedules = 0;
  uint64_t kills = 0;
  uint32_t complete = 0;
  uint32_t plays = 0;
  std::map<Harm, uint32_t> faults;
};

void trace(const std::string& schedule, const Bounds& bounds) {
  machine.is_traced = true;
  const Explored explored = Search::replay(schedule, bounds);
  machine.is_traced = false;
  std::printf("  %s: %s\n", to_text(explored.finding.harm), explored.finding.words.c_str());
}

void play(const Play& each, const Arguments& arguments, Figures& figures) {
  playing = each.name.c_str();
  Arena::open();
  std::unique_ptr<Scene> scene = each.make();
  Arena::close();
  machine.prepare(*scene);
  const std::vector<Bounds>& bounds = !arguments.bounds.empty() ? arguments.bounds : arguments.is_long ? each.long_bounds : each.short_bounds;
  bool is_complete = true;
  for (const Bounds& bound : bounds) {
    if (!arguments.replay.empty()) {
      trace(arguments.replay, bound);
      continue;
    }
    const double start = now_seconds();
    Search search;
    const Explored explored = search.explore(bound, arguments.seconds);
    figures.schedules += explored.run_count;
    figures.kills += explored.kill_count;
    is_complete = is_complete && explored.is_complete;
    std::printf("%-14s %-40s %9llu schedules %9llu states %8llu ends %6.2f s%s\n", each.name.c_str(), to_text(bound).c_str(),
                static_cast<unsigned long long>(explored.run_count), static_cast<unsigned long long>(explored.state_count),
                static_cast<unsigned long long>(explored.end_count), now_seconds() - start, explored.is_complete ? "" : "  incomplete");
    if (explored.finding.harm != Harm::None) {
      ++figures.faults[explored.finding.harm];
      std::printf("FAULT %s: %s: %s; --only %s --bounds %u,%u,%u --replay %s\n", to_text(explored.finding.harm), each.name.c_str(),
                  explored.finding.words.c_str(), each.name.c_str(), bound.preemptions, bound.kills, bound.holds,
                  explored.schedule.c_str());
      if (arguments.is_traced) trace(explored.schedule, bound);
    }
    std::fflush(stdout);
  }
  ++figures.plays;
  if (is_complete) ++figures.complete;
  machine.put_back();
  Arena::open();
  scene.reset();
  Arena::close();
  Arena::clear();
}

}  // namespace

int main(int count, char** texts) {
  Arguments arguments;
  if (!parse(count, texts, arguments)) {
    std::fprintf(stderr, "usage: explorer [--short | --long] [--only TEXT] [--bounds P,K[,H]] [--seconds S] [--trace] [--replay SCHEDULE] [--list]\n");
    return 2;
  }
  std::vector<Play> plays;
  add_lane_plays(plays);
  add_queue_plays(plays);
  add_memory_plays(plays);
  add_direct_plays(plays);
  add_wake_plays(plays);
  if (arguments.lists) {
    for (const Play& each : plays) std::printf("%-14s %s\n", each.name.c_str(), each.what.c_str());
    return 0;
  }
  watch_for_crashes();
  const double start = now_seconds();
  Figures figures;
  const bool is_name = std::any_of(plays.begin(), plays.end(), [&](const Play& each) { return each.name == arguments.only; });
  for (const Play& each : plays) {
    if (is_name ? each.name == arguments.only : each.name.find(arguments.only) != std::string::npos) play(each, arguments, figures);
  }
  uint32_t faults = 0;
  for (const auto& [harm, harmed] : figures.faults) faults += harmed;
  std::printf("E1 points=%llu lost=%u doubled=%u leaked=%u blocked=%u wrong=%u seconds=%.1f what=points are schedules, of %u scenes, %u complete; "
              "%llu with a kill\n",
              static_cast<unsigned long long>(figures.schedules), figures.faults[Harm::Lost], figures.faults[Harm::Doubled],
              figures.faults[Harm::Leaked], figures.faults[Harm::Blocked], figures.faults[Harm::Wrong], now_seconds() - start,
              figures.plays, figures.complete, static_cast<unsigned long long>(figures.kills));
  return faults == 0 && figures.complete == figures.plays ? 0 : 1;
}
