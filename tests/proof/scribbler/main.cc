// H1: hostile memory, and hostile calls.
//
//   proof_scribbler [--short | --long]              all three
//   proof_scribbler static [--step N] [--play NUMBER]
//   proof_scribbler live [--seconds N] [--seed N]
//   proof_scribbler calls [--first N] [--count N]
//
// The last line is the line of figures (tools/proof).
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "scribbler/calls.h"
#include "scribbler/live.h"
#include "scribbler/static_sweep.h"

namespace {

using namespace ripstop::proof;

constexpr uint64_t kCorruptions = 2'000'000;
// The short form's: it has no factor in common with the numbers of kinds, values and orders.
constexpr uint64_t kShortStep = 5;

struct Options {
  std::string part;  // Empty: all.
  uint64_t step = kShortStep;
  uint64_t seconds = 15;
  uint64_t seed = 1;
  uint64_t first = 1;
  uint64_t count = 2'000;
  uint64_t play = ~uint64_t{0};
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    uint64_t* number = word == "--step"      ? &options.step
                       : word == "--seconds" ? &options.seconds
                       : word == "--seed"    ? &options.seed
                       : word == "--first"   ? &options.first
                       : word == "--count"   ? &options.count
                       : word == "--play"    ? &options.play
                                             : nullptr;
    if (number != nullptr && i + 1 < argc) {
      *number = std::strtoull(argv[++i], nullptr, 10);
    } else if (word == "--long") {
      options.step = 1;
      options.seconds = 60;
      options.count = 50'000;
    } else if (word == "static" || word == "live" || word == "calls") {
      options.part = word;
    } else if (word != "--short") {
      std::fprintf(stderr, "proof_scribbler: unknown argument '%s'\n", word.c_str());
      return false;
    }
  }
  return options.step > 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  signal(SIGPIPE, SIG_IGN);
  Options options;
  if (!parse(argc, argv, options)) return 2;
  if (options.play != ~uint64_t{0}) return play(options.play).blocked == 0 ? 0 : 1;
  const auto begin = std::chrono::steady_clock::now();
  const auto wants = [&](const char* part) { return options.part.empty() || options.part == part; };
  SweepFigures swept;
  LiveFigures live;
  CallsFigures calls;
  if (wants("static")) swept = sweep(kCorruptions, options.step);
  if (wants("live")) live = run_live(static_cast<uint32_t>(options.seconds), options.seed);
  if (wants("calls")) calls = run_calls(options.first, options.count);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count();
  const uint64_t wrong = swept.wrong + live.wrong + calls.wrong;
  const uint64_t blocked = swept.blocked + live.blocked;
  std::printf("H1 points=%llu lost=0 doubled=0 leaked=0 blocked=%llu wrong=%llu seconds=%lld what=%llu corruptions, %llu sequences of calls; "
              "%llu words scribbled live\n",
              static_cast<unsigned long long>(swept.points + calls.sequences), static_cast<unsigned long long>(blocked),
              static_cast<unsigned long long>(wrong), static_cast<long long>(seconds), static_cast<unsigned long long>(swept.points),
              static_cast<unsigned long long>(calls.sequences), static_cast<unsigned long long>(live.writes));
  return blocked + wrong == 0 ? 0 : 1;
}
