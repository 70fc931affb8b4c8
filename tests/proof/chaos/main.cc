// C1, the chaos soak: twelve agents that publish and receive, killed, stopped and restarted at random, and
// their supervisor killed every five seconds. Every message is accounted for in memory that is not the
// fabric's (ledger.h, oracle.h). The last line says what was found; the exit status is 1 if anything was.
//
//   chaos                          a minute
//   chaos --long                   ten minutes; --kills N ends it earlier, after N kills
//   chaos --seed 7                 decides as the last run with that seed did (soak.cc)
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "soak.h"

int main(int argc, char** argv) {
  chaos::SoakOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto number = [&](uint64_t& value) {
      if (i + 1 >= argc) return false;
      char* end = nullptr;
      value = std::strtoull(argv[++i], &end, 10);
      return *argv[i] != 0 && *end == 0;
    };
    bool understood = true;
    if (word == "--short") understood = true;  // What it does without options.
    else if (word == "--long") options.seconds = 600;
    else if (word == "--seconds") understood = number(options.seconds);
    else if (word == "--kills") understood = number(options.kill_count);
    else if (word == "--seed") understood = number(options.seed);
    else if (word == "--pause-ms") understood = number(options.kill_pause_ms);
    else if (word == "--quiet-seconds") understood = number(options.quiet_seconds);
    else if (word == "--verbose") options.verbose = true;
    else understood = false;
    if (understood) continue;
    std::fprintf(stderr,
                 "chaos [--short | --long] [--seconds N] [--kills N] [--seed S] [--pause-ms MEAN] [--quiet-seconds N] [--verbose]\n"
                 "  kills, stops and restarts everything for N seconds (60; --long: 600), or until it has killed N times\n");
    return 2;
  }
  chaos::Supervisor supervisor;
  if (!supervisor.prepare("/proc/self/exe")) return 2;
  chaos::Ledger* ledger = chaos::Ledger::create();
  if (ledger == nullptr) {
    std::perror("mmap the ledger");
    return 2;
  }
  // On the heap of main alone: the processes that are forked from it leave by _exit().
  return chaos::Soak(options, *ledger, supervisor).run() ? 0 : 1;
}
