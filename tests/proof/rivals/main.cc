// R1: the sweep of K2, over queues of others. A process is killed, with a real SIGKILL, in the middle of one send or
// receive, at each instruction; then another process uses the queue, and what it finds is compared with what it
// was told. Nothing that is found here is a fault of ours: it stands beside our own line in tests/PROOF.md.
//
//   proof_rivals [--short | --long]
//
// An instruction at which the shared memory is as it was one instruction before is judged with that one; besides,
// every 7th instruction (--long: each) is killed at for itself, and must be judged alike.
//
//   stuck    the other process's send or receive does not return: it sleeps with nobody to wake it, or spins
//   lost     a message that had been sent is found nowhere, also when the dead process was about to receive it
//   doubled  a message is found twice
//   leaked   fewer messages fit than before
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "proof/live/child.h"
#include "proof/live/suite.h"
#include "proof/rivals/rival.h"
#include "proof/victim.h"

namespace ripstop::rivals {
namespace {

using proof::Victim;

enum class Verdict : uint8_t { Whole, Stuck, Lost, Doubled, Leaked, Wrong };
constexpr std::array<const char*, 6> kVerdicts = {"whole", "stuck", "lost", "doubled", "leaked", "wrong"};
constexpr uint64_t kSentByTheDead = 100;
constexpr uint64_t kProbe = 1000;
constexpr long kCpuMaxUs = 50'000;  // Of the survivor's, for some dozens of calls.
constexpr int kAsleepMsMax = 40;    // In a call that never waits.

// What one survivor found. In memory that is not the queue's.
struct Found {
  bool finished;
  uint32_t drained_count;
  std::array<uint64_t, 64> drained;
  uint32_t fit_count;
};

struct Shared {
  Found found;
  uint64_t step_count;
  uint64_t die_at;  // ~0: never.
  std::array<uint64_t, 1 << 16> hashes;
};

Shared& shared() {
  static Shared* const place =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  return *place;
}

uint64_t hash_of(std::span<const std::byte> bytes) noexcept {
  uint64_t hash = 0xcbf29ce484222325;
  for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    hash = (hash ^ word) * 0x100000001b3;
    hash ^= hash >> 29;
  }
  return hash;
}

std::span<const std::byte> watched;

void record(void*, uint64_t, bool over) {
  Shared& all = shared();
  if (all.step_count < all.hashes.size()) all.hashes[all.step_count] = hash_of(watched);
  if (!over) ++all.step_count;
}

void die_in_time(void*, uint64_t, bool) {
  Shared& all = shared();
  if (all.step_count++ == all.die_at) Victim::die_here();
}

// Drains, fills, and drains again.
void survive(Rival& rival) {
  Found& found = shared().found;
  uint64_t number = 0;
  while (found.drained_count < found.drained.size() && rival.receive(number)) found.drained[found.drained_count++] = number;
  while (found.fit_count < 2 * rival.capacity() + 2 && rival.send(kProbe + found.fit_count)) ++found.fit_count;
  for (uint32_t i = 0; i < found.fit_count; ++i) {
    if (!rival.receive(number) || number != kProbe + i) return;
  }
  found.finished = true;
}

// Whether the survivor came to its end. It does not wait for anything, so one that sleeps for long, or uses the
// processor for long, is stuck; a busy machine makes it neither.
bool runs_to_its_end(Rival& rival) {
  const pid_t pid = fork();
  if (pid == 0) {
    const itimerval cpu{{0, 0}, {0, kCpuMaxUs}};
    setitimer(ITIMER_PROF, &cpu, nullptr);
    survive(rival);
    _exit(0);
  }
  int status = 0;
  for (int asleep_ms = 0;;) {
    if (waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status);
    asleep_ms = live::state_of(pid) == 'S' ? asleep_ms + 1 : 0;
    if (asleep_ms > kAsleepMsMax) break;
    usleep(1000);
  }
  kill(pid, SIGKILL);
  waitpid(pid, &status, 0);
  return false;
}

struct State {
  const char* name;
  std::size_t before;  // Messages in the queue.
};

class Sweep {
 public:
  Sweep(std::string name, Rival& rival, bool is_long) : name_(std::move(name)), rival_(rival), stride_(is_long ? 1 : 7) { capacity_ = capacity_of_a_new_one(); }

  void run() {
    const std::size_t capacity = capacity_;
    for (const bool sends : {true, false}) {
      std::vector<std::size_t> befores = {0, 1, capacity / 2, capacity - 1, capacity};
      std::array<uint64_t, 6> counts{};
      uint64_t points = 0;
      for (const std::size_t before : befores) sweep(sends, before, counts, points);
      std::printf("RIVAL %s | %s | %llu | %llu | %llu | %llu | %llu\n", name_.c_str(), sends ? "send" : "receive", static_cast<unsigned long long>(points),
                  static_cast<unsigned long long>(counts[1]), static_cast<unsigned long long>(counts[2]), static_cast<unsigned long long>(counts[3]),
                  static_cast<unsigned long long>(counts[4]));
      std::fflush(stdout);
      point_count += points;
      wrong_count += counts[5];
    }
  }

  uint64_t point_count = 0;
  uint64_t kill_count = 0;
  uint64_t wrong_count = 0;      // The harness's own: a verdict that two kills in one state did not share.

 private:
  std::size_t capacity_of_a_new_one() {
    const std::vector<std::byte> fresh = copy();
    std::size_t count = 0;
    while (count < 60 && rival_.send(1)) ++count;
    restore(fresh);
    return count;
  }

  std::vector<std::byte> copy() { return {rival_.memory().begin(), rival_.memory().end()}; }
  void restore(const std::vector<std::byte>& bytes) { std::memcpy(rival_.memory().data(), bytes.data(), bytes.size()); }

  void sweep(bool sends, std::size_t before, std::array<uint64_t, 6>& counts, uint64_t& points) {
    const std::vector<std::byte> fresh = copy();
    // Not where a new one begins: its indices have gone round.
    for (int i = 0; i < 3; ++i) {
      uint64_t number = 0;
      if (!rival_.send(7) || !rival_.receive(number)) ++counts[5];
    }
    for (uint64_t i = 1; i <= before; ++i) {
      if (!rival_.send(i)) ++counts[5];
    }
    const std::vector<std::byte> start = copy();
    const auto operation = [&] {
      uint64_t number = 0;
      if (sends) (void)rival_.send(kSentByTheDead);
      else (void)rival_.receive(number);
    };
    watched = rival_.memory();
    shared().step_count = 0;
    {
      Victim victim(operation, record, nullptr);
      if (victim.wait() != Victim::Event::Returned) ++counts[5];
    }
    const uint64_t steps = std::min<uint64_t>(shared().step_count, shared().hashes.size());
    const std::vector<uint64_t> hashes(shared().hashes.begin(), shared().hashes.begin() + static_cast<std::ptrdiff_t>(steps));
    std::optional<Verdict> of_the_state;
    for (uint64_t at = 0; at < steps; ++at) {
      const bool is_new = at == 0 || hashes[at] != hashes[at - 1];
      if (is_new || at % stride_ == 0) {
        restore(start);
        const Verdict verdict = kill_at(operation, at, sends, before);
        ++kill_count;
        if (!is_new && of_the_state && verdict != *of_the_state) ++counts[5];
        of_the_state = verdict;
      }
      ++points;
      ++counts[static_cast<std::size_t>(*of_the_state)];
    }
    restore(fresh);
  }

  Verdict kill_at(const std::function<void()>& operation, uint64_t at, bool sends, std::size_t before) {
    Shared& all = shared();
    all.step_count = 0;
    all.die_at = at;
    {
      Victim victim(operation, die_in_time, nullptr);
      if (victim.wait() != Victim::Event::Killed) return Verdict::Wrong;
    }
    all.found = Found{};
    if (!runs_to_its_end(rival_)) return Verdict::Stuck;
    const Found& found = all.found;
    std::vector<int> seen(before + 1, 0);
    int of_the_dead = 0;
    for (uint32_t i = 0; i < found.drained_count; ++i) {
      if (found.drained[i] == kSentByTheDead) ++of_the_dead;
      else if (found.drained[i] >= 1 && found.drained[i] <= before) ++seen[found.drained[i]];
      else return Verdict::Wrong;
    }
    if (of_the_dead > (sends ? 1 : 0)) return Verdict::Doubled;
    for (std::size_t i = 1; i <= before; ++i) {
      if (seen[i] > 1) return Verdict::Doubled;
    }
    for (std::size_t i = 1; i <= before; ++i) {
      if (seen[i] == 0) return Verdict::Lost;
    }
    if (found.fit_count < capacity_) return Verdict::Leaked;
    return found.finished ? Verdict::Whole : Verdict::Lost;
  }

  std::string name_;
  Rival& rival_;
  uint64_t stride_;
  std::size_t capacity_ = 0;
};

int run(bool is_long) {
  struct Entry {
    const char* name;
    std::unique_ptr<Rival> (*make)(std::string&);
  };
  const std::vector<Entry> entries = {{"Boost.Interprocess message_queue", boost_message_queue}, {"atomic_queue (AtomicQueue2)", atomic_queue_2}};
  const auto start = std::chrono::steady_clock::now();
  live::Figures figures;
  std::string what, absent_all;
  uint64_t kills = 0;
  for (const Entry& entry : entries) {
    std::string absent;
    const auto rival = entry.make(absent);
    if (!rival) {
      std::printf("RIVAL-ABSENT %s | %s\n", entry.name, absent.c_str());
      absent_all += std::string(absent_all.empty() ? "" : "; ") + entry.name + ": " + absent;
      continue;
    }
    Sweep sweep(entry.name, *rival, is_long);
    sweep.run();
    figures.points += sweep.point_count;
    figures.by_fault[static_cast<std::size_t>(live::Fault::Wrong)] += sweep.wrong_count;
    kills += sweep.kill_count;
    what += (what.empty() ? "" : ", ") + std::string(entry.name);
  }
  if (figures.points == 0) {
    std::printf("R1 SKIP %s\n", absent_all.c_str());
    return 0;
  }
  live::print_figures("R1", figures, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(),
                      std::to_string(kills) + " real kills in " + what + "; what they did stands in the table below, wrong counts the harness's own");
  return figures.clean() ? 0 : 1;
}

}  // namespace
}  // namespace ripstop::rivals

int main(int argc, char** argv) {
  using namespace ripstop;
  live::SuiteOptions options;
  if (!live::parse_suite(argc, argv, options)) return 2;
  return rivals::run(options.is_long);
}
