#include "proof/live/suite.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <numeric>

namespace ripstop::live {

const char* to_string(Fault fault) noexcept {
  constexpr const char* kWords[] = {"lost", "doubled", "leaked", "blocked", "wrong"};
  return kWords[static_cast<std::size_t>(fault)];
}

void Figures::count(const Findings& findings) {
  for (const Findings::Found& each : findings.found()) ++by_fault[static_cast<std::size_t>(each.fault)];
}

bool Figures::clean() const { return std::accumulate(std::begin(by_fault), std::end(by_fault), uint64_t{0}) == 0; }

void print_figures(const std::string& name, const Figures& figures, double seconds, const std::string& what) {
  std::printf("%s points=%llu", name.c_str(), static_cast<unsigned long long>(figures.points));
  for (std::size_t i = 0; i < 5; ++i) {
    std::printf(" %s=%llu", to_string(static_cast<Fault>(i)), static_cast<unsigned long long>(figures.by_fault[i]));
  }
  std::printf(" seconds=%.1f what=%s\n", seconds, what.c_str());
}

bool parse_suite(int argc, char** argv, SuiteOptions& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--short") options.is_long = false;
    else if (word == "--long") options.is_long = true;
    else if (word == "--list") options.list = true;
    else if (!word.starts_with("-")) options.chosen.push_back(word);
    else {
      std::fprintf(stderr, "%s [--short | --long] [--list] [CASE...]\n", argv[0]);
      return false;
    }
  }
  return true;
}

int run_suite(const std::string& name, const std::vector<Case>& cases, const SuiteOptions& options, const std::string& what) {
  if (options.list) {
    for (const Case& each : cases) std::printf("%-44s %s\n", each.name.c_str(), each.expected.c_str());
    return 0;
  }
  const auto is_chosen = [&](const Case& each) {
    return options.chosen.empty() || std::find(options.chosen.begin(), options.chosen.end(), each.name) != options.chosen.end();
  };
  const auto start = std::chrono::steady_clock::now();
  const auto seconds_since = [](std::chrono::steady_clock::time_point from) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  };
  Figures figures;
  uint64_t case_count = 0, skip_count = 0;
  for (const Case& each : cases) {
    if (!is_chosen(each)) continue;
    const auto case_start = std::chrono::steady_clock::now();
    Findings findings;
    each.run(findings);
    const bool skipped = !findings.skipped().empty();
    std::printf("%-44s %s %.2f s%s%s\n", each.name.c_str(), skipped ? "SKIP" : findings.found().empty() ? "ok" : "FAULT", seconds_since(case_start),
                findings.told().empty() ? "" : "; ", findings.told().c_str());
    if (skipped) std::printf("    not tried: %s\n", findings.skipped().c_str());
    for (const Findings::Found& found : findings.found()) {
      std::printf("FAULT %s, %s: %s (expected: %s)\n", each.name.c_str(), to_string(found.fault), found.words.c_str(), each.expected.c_str());
    }
    std::fflush(stdout);
    figures.count(findings);
    ++case_count;
    skip_count += skipped;
    if (!skipped) figures.points += each.point_count;
  }
  if (case_count == 0) {
    std::fprintf(stderr, "%s has no such case; see --list\n", name.c_str());
    return 2;
  }
  print_figures(name, figures, seconds_since(start),
                std::to_string(case_count - skip_count) + " " + what + (skip_count == 0 ? "" : ", " + std::to_string(skip_count) + " not possible here"));
  return figures.clean() ? 0 : 1;
}

}  // namespace ripstop::live
