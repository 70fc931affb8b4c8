// F1: every system call and allocation of supervisor, keeper, agent and shmctl may fail or be the last.
//
//   proof_faults [--short | --long] [ROLE...]     supervisor successor keeper agent "shmctl status" …
//   proof_faults --point ROLE:CALL:FAULT          the one run that a FAULT named
//
// A program's calls are counted once; then it is run once for each of them and for each way in which that call
// can fail (calls.h), and once for the program's death in its place; then with the N-th allocation failing, for
// N = 1 .. until a run has fewer, and with that one and all after it. The short form tries one error at each
// call (another one each time that it is made) and its death, takes every 32nd of the calls by which hwloc and the C++
// library read files, where it has seen four, ever fewer of the later allocations, and some verbs of shmctl's.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>

#include "proof/faults/calls.h"
#include "proof/faults/roles.h"
#include "proof/faults/script.h"

namespace ripstop::faults {
namespace {

constexpr uint64_t kForEver = uint64_t{1} << 40;
constexpr std::size_t kAllocations = 1000;       // As a point's fault: allocation; the next one: for ever.
constexpr uint64_t kDenseOccurrences = 4;
constexpr uint64_t kFileStride = 32;

struct Options {
  bool is_long = false;
  bool is_verbose = false;
  std::vector<std::string> roles;
  std::string point;
};

bool reads_files(uint64_t number) {
  static const std::set<std::string> names = {"open", "openat", "close", "read", "fstat", "fstatat", "getdents", "access", "faccessat", "fcntl", "lseek",
                                              "mmap", "munmap", "mprotect", "brk", "readlink", "sched_setaffinity", "ioctl"};
  return names.contains(name_of(number));
}

class Suite {
 public:
  explicit Suite(const Options& options) : options_(options) {}

  void run(Role& role) {
    const auto start = std::chrono::steady_clock::now();
    const uint64_t before = figures_.points;
    live::Findings findings;
    const Happened first = role.run({role.whose(), 0, 0, 0, 1}, findings);
    tell(role, "without a fault", "0:0", findings);
    if (!findings.found().empty()) return;  // Nothing that follows would mean anything.
    sweep_calls(role, first.calls);
    const uint64_t call_points = figures_.points - before;
    sweep_allocations(role);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::printf("%-16s %4zu calls, %5llu faults of calls, %4llu of allocations, %.1f s\n", role.name().c_str(), first.calls.size(),
                static_cast<unsigned long long>(call_points), static_cast<unsigned long long>(figures_.points - before - call_points), seconds);
    std::fflush(stdout);
  }

  void run_point(Role& role, uint64_t nth, std::size_t fault) {
    if (fault >= kAllocations) (void)fail_allocation(role, nth, fault > kAllocations);
    else (void)fail_call(role, nth, fault);
  }

  const live::Figures& figures() const { return figures_; }
  std::string what() const {
    return std::to_string(role_count_) + " programs, " + std::to_string(deaths_) + " of the points are deaths, " + std::to_string(allocations_) + " failed allocations";
  }
  void count_role() { ++role_count_; }

 private:
  // Answers whether the run came that far.
  bool fail_call(Role& role, uint64_t nth, std::size_t fault_index) {
    live::Findings findings;
    const Happened happened = role.run({role.whose(), nth, fault_index, 0, 1}, findings);
    if (happened.hit) ++figures_.points;
    if (happened.hit && happened.fault == kDies) ++deaths_;
    const std::string fault = happened.hit ? name_of(happened.call) + " " + name_of_fault(happened.fault) : "not reached";
    tell(role, "call " + std::to_string(nth) + ": " + fault, std::to_string(nth) + ":" + std::to_string(fault_index), findings);
    return happened.hit;
  }

  bool fail_allocation(Role& role, uint64_t nth, bool for_ever) {
    live::Findings findings;
    const Happened happened = role.run({role.whose(), 0, 0, nth, for_ever ? kForEver : 1}, findings);
    if (happened.hit) {
      ++figures_.points;
      ++allocations_;
    }
    const std::string fault = std::string(happened.hit ? "fails" : "is not reached") + (for_ever ? ", and all after it" : "");
    tell(role, "allocation " + std::to_string(nth) + " " + fault, std::to_string(nth) + ":" + std::to_string(kAllocations + for_ever), findings);
    return happened.hit;
  }

  void sweep_calls(Role& role, const std::vector<uint64_t>& calls) {
    std::map<uint64_t, uint64_t> seen;
    for (uint64_t i = 0; i < calls.size(); ++i) {
      const uint64_t occurrence = seen[calls[i]]++;
      const std::size_t fault_count = faults_of(calls[i]).size();
      const bool is_sparse = !options_.is_long && reads_files(calls[i]) && occurrence >= kDenseOccurrences;
      if (is_sparse && occurrence % kFileStride != 0) continue;
      for (std::size_t fault = 0; fault < fault_count; ++fault) {
        // Of the many, one way each; in the short form of the others two: an error, another one at each occurrence, and death.
        if (is_sparse && fault != occurrence / kFileStride % fault_count) continue;
        if (!options_.is_long && !is_sparse && role.is_slow() && fault != occurrence % fault_count) continue;
        const bool is_last = fault + 1 == fault_count;
        if (!options_.is_long && !is_sparse && !role.is_slow() && !is_last && fault != occurrence % (fault_count - 1)) continue;
        if (!fail_call(role, i + 1, fault)) return;
      }
    }
    // A run may be longer than the one that was counted.
    for (uint64_t nth = calls.size() + 1; fail_call(role, nth, 0); ++nth) {
    }
  }

  void sweep_allocations(Role& role) {
    const uint64_t slope = options_.is_long ? 400 : 6;
    uint64_t number = 0;
    for (uint64_t nth = 1; fail_allocation(role, nth, false); nth += 1 + nth / slope) {
      if (options_.is_long || ++number % 4 == 0) (void)fail_allocation(role, nth, true);
    }
  }

  void tell(const Role& role, const std::string& fault, const std::string& point, const live::Findings& findings) {
    figures_.count(findings);
    if (options_.is_verbose) std::printf("%s: %s\n", role.name().c_str(), fault.c_str());
    for (const auto& found : findings.found()) {
      std::printf("FAULT %s, %s (--point \"%s:%s\"), %s: %s\n", role.name().c_str(), fault.c_str(), role.name().c_str(), point.c_str(), live::to_string(found.fault),
                  found.words.c_str());
    }
    std::fflush(stdout);
  }

  const Options& options_;
  live::Figures figures_;
  uint64_t deaths_ = 0;
  uint64_t allocations_ = 0;
  uint64_t role_count_ = 0;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--short") options.is_long = false;
    else if (word == "--long") options.is_long = true;
    else if (word == "--verbose") options.is_verbose = true;
    else if (word == "--point" && i + 1 < argc) options.point = argv[++i];
    else if (!word.starts_with("-")) options.roles.push_back(word);
    else {
      std::fprintf(stderr, "proof_faults [--short | --long] [--verbose] [--point ROLE:N:FAULT] [ROLE...]\n");
      return false;
    }
  }
  return true;
}

int run(const Options& options) {
  std::vector<std::unique_ptr<Role>> roles;
  roles.push_back(supervisor_role());
  roles.push_back(successor_role());
  roles.push_back(keeper_role());
  roles.push_back(agent_role());
  std::vector<std::vector<std::string>> verbs = {{"status"}, {"pub", "f1.tool", "text"}, {"sub", "f1.tool", "--timeout", "1ms"}};
  const std::vector<std::vector<std::string>> more_verbs = {{"agents"}, {"topics"}, {"segments"}, {"show", "agent", "resident"}, {"version"}, {"dlq", "list"}};
  if (options.is_long || !options.roles.empty() || !options.point.empty()) verbs.insert(verbs.end(), more_verbs.begin(), more_verbs.end());
  for (std::vector<std::string>& words : verbs) {
    if (live::build_has("tools/shmctl")) roles.push_back(tool_role(std::move(words)));
  }
  if (!options.point.empty()) {
    const std::size_t first = options.point.find(':');
    const std::size_t second = options.point.find(':', first + 1);
    const auto role = std::find_if(roles.begin(), roles.end(), [&](const auto& each) { return each->name() == options.point.substr(0, first); });
    if (second == std::string::npos || role == roles.end()) {
      std::fprintf(stderr, "a point is ROLE:N:FAULT, as a FAULT names it\n");
      return 2;
    }
    Options one = options;
    one.is_verbose = true;
    Suite suite(one);
    suite.run_point(**role, std::strtoull(options.point.c_str() + first + 1, nullptr, 10), std::strtoull(options.point.c_str() + second + 1, nullptr, 10));
    return suite.figures().clean() ? 0 : 1;
  }
  const auto start = std::chrono::steady_clock::now();
  Suite suite(options);
  for (const auto& role : roles) {
    if (!options.roles.empty() && std::find(options.roles.begin(), options.roles.end(), role->name()) == options.roles.end()) continue;
    suite.count_role();
    suite.run(*role);
  }
  live::print_figures("F1", suite.figures(), std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), suite.what());
  return suite.figures().clean() ? 0 : 1;
}

}  // namespace
}  // namespace ripstop::faults

int main(int argc, char** argv) {
  using namespace ripstop;
  if (argc == 3 && std::string(argv[1]) == "--agent") return faults::run_agent(argv[2]);
#ifndef __x86_64__
  std::puts("F1 SKIP system calls are replaced in the registers of x86-64 alone");
  return 0;
#endif
  faults::Options options;
  if (!faults::parse(argc, argv, options)) return 2;
  for (const char* file : {"daemon/ripstopd", "tests/proof/libproof_faults_probe.so"}) {
    if (live::build_file(file).empty()) return 2;
  }
  return faults::run(options);
}
