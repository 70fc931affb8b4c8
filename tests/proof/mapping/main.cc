// H2: attacks on mappings and descriptors, on 4 KiB pages and on huge ones.
//
//   proof_mapping [--short | --long] [--only TEXT] [--verbose]
//
// Each attack has a fabric of its own. The long form does everything five times. The last line is the line of
// figures (tools/proof).
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

#include "mapping/attack.h"
#include "memory/hugepage_pool.h"

namespace ripstop::proof {

void expect_unharmed(Fabric& fabric, Verdict& verdict) {
  verdict.expect(waitpid(fabric.pid(), nullptr, WNOHANG) == 0, "the supervisor has ended: " + fabric.log());
  verdict.expect(fabric.answers(), "the supervisor does not answer");
  for (const char* verb : {"status", "segments", "agents"}) {
    const std::string text = fabric.shmctl(verb);
    verdict.expect(text.compare(0, 6, "signal") != 0, std::string("shmctl ") + verb + " was ended: " + text);
  }
  verdict.expect(fabric.bystanders_talk(), "the bystanders do not talk any more: " + fabric.log());
}

namespace {

// Two nodes of two pages each, and something to spare.
constexpr uint64_t kHugePagesNeeded = 10;

// Huge pages for the time of the suite. How many the machine had is put back; those in use are never taken.
class HugePages {
 public:
  HugePages() : before_(memory::read_hugepage_pool().total_count) {}
  HugePages(const HugePages&) = delete;
  HugePages& operator=(const HugePages&) = delete;
  ~HugePages() { set(before_); }
  // Whether there are enough free ones now.
  bool provide() const {
    const memory::HugepagePool pool = memory::read_hugepage_pool();
    if (pool.free_count < kHugePagesNeeded) set(pool.total_count - pool.free_count + kHugePagesNeeded);
    return memory::read_hugepage_pool().free_count >= kHugePagesNeeded;
  }

 private:
  static void set(uint64_t count) { std::ofstream("/proc/sys/vm/nr_hugepages") << count << std::flush; }
  uint64_t before_;
};

struct Figures {
  uint64_t points = 0;
  uint64_t wrong = 0;
  uint64_t skipped = 0;
};

void run(const Attack& attack, Pages pages, bool verbose, Figures& figures) {
  const std::string name = attack.name + (pages == Pages::Huge ? ", huge pages" : "");
  Verdict verdict;
  {
    Fabric fabric(pages);
    if (!fabric.trouble().empty()) {
      verdict.expect(false, "there is no fabric: " + fabric.trouble());
    } else {
      attack.run(fabric, pages, verdict);
      // An attack that takes the second node too, or the supervisor, says itself what must hold.
      const bool all_is_lost = attack.name.find("both nodes") != std::string::npos || attack.name.find("first page, and") != std::string::npos;
      const bool bystanders_are_orphans = attack.name.find("false keeper") != std::string::npos;
      if (!all_is_lost && !bystanders_are_orphans) expect_unharmed(fabric, verdict);
    }
  }
  if (!verdict.skipped.empty() && verdict.faults.empty()) {
    ++figures.skipped;
    std::printf("skipped: %s: %s\n", name.c_str(), verdict.skipped.c_str());
    return;
  }
  ++figures.points;
  for (const std::string& fault : verdict.faults) {
    ++figures.wrong;
    std::printf("FAULT %s: %s\n", name.c_str(), fault.c_str());
  }
  if (verbose) std::printf("%s: %s\n", name.c_str(), verdict.faults.empty() ? "holds" : "does not hold");
}

int run_all(bool is_long, const std::string& only, bool verbose) {
  std::vector<Attack> attacks;
  add_seal_attacks(attacks);
  add_hole_attacks(attacks);
  add_descriptor_attacks(attacks);
  Figures figures;
  const auto begin = std::chrono::steady_clock::now();
  const HugePages huge_pages;
  std::string no_huge;
  for (int round = 0; round < (is_long ? 5 : 1); ++round) {
    for (const Attack& attack : attacks) {
      if (attack.name.find(only) == std::string::npos) continue;
      if (attack.on != On::HugeOnly) run(attack, Pages::Small, verbose, figures);
      if (attack.on == On::SmallOnly) continue;
      if (!huge_pages.provide()) no_huge = "the kernel gives no huge pages (vm.nr_hugepages)";
      if (no_huge.empty()) run(attack, Pages::Huge, verbose, figures);
      else ++figures.skipped;
    }
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - begin).count();
  const std::string why = no_huge.empty() ? "" : ": " + no_huge;
  std::printf("H2 points=%llu lost=0 doubled=0 leaked=0 blocked=0 wrong=%llu seconds=%lld what=points are attacks; %llu skipped%s\n",
              static_cast<unsigned long long>(figures.points), static_cast<unsigned long long>(figures.wrong),
              static_cast<long long>(seconds), static_cast<unsigned long long>(figures.skipped), why.c_str());
  return figures.wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace ripstop::proof

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  bool is_long = false;
  bool verbose = false;
  std::string only;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--long") is_long = true;
    else if (word == "--verbose") verbose = true;
    else if (word == "--only" && i + 1 < argc) only = argv[++i];
    else if (word != "--short") {
      std::fprintf(stderr, "proof_mapping: unknown argument '%s'\n", word.c_str());
      return 2;
    }
  }
  signal(SIGPIPE, SIG_IGN);
  return ripstop::proof::run_all(is_long, only, verbose);
}
