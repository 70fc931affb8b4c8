// What the death of an agent costs the others: from the SIGKILL until the supervisor has noticed, until its
// peers have been told and until all its memory is back.
//
//   build/release/perf/death_bench [--deaths 200] [--set KEY=VALUE ...]     (--set: as ripstopd's)
//
// Two supervisors, one with huge pages and one with 4 KiB pages, lose agents in turn. Each victim is a
// program of its own that has touched all of the fabric's memory, has a full lane in front of it, messages
// in its hand and loans that it never sends; a publisher sleeps on its lane's room. Of each death:
//   pidfd     the kernel says so: a thread of the bench polls the pidfd as the supervisor does
//   noticed   the supervisor has marked it DEAD
//   route     a publisher's route is without it
//   woken     the publisher that slept on its lane has its answer
//   back      its entry is FREE: the next agent may have its name and its memory
//   ours      from the kernel's word (pidfd) to back: what the supervisor takes, with its way to the processor
// After each death every chunk must be free again. Ends with 1 if one was not, or if a floor does not hold:
// noticed 5 ms, the others 20 ms, each the 99th percentile on huge pages.
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench_supervisor.h"
#include "control/client.h"
#include "control/control_view.h"
#include "ripstop/inspect.h"
#include "times.h"

namespace ripstop::perf {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kInHand = 16;
constexpr std::size_t kLoans = 8;
constexpr auto kPatience = 10s;
constexpr uint64_t kNeverNs = 10'000'000'000;
const std::string kTopic = "death.work";

// --- the victim -------------------------------------------------------------------------------------

// Reads a byte of each page of the fabric's memory: only what was touched costs its end time.
void touch_fabric() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  while (std::getline(maps, line)) {
    if (line.find("ripstop:") == std::string::npos) continue;
    unsigned long first = 0;
    unsigned long last = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx", &first, &last) != 2) continue;
    for (unsigned long at = first; at < last; at += 4096) {
      (void)*reinterpret_cast<const volatile std::byte*>(at);
    }
  }
}

int run_victim(const char* socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  AgentOptions options;
  options.name = "victim";
  options.socket = socket;
  auto agent = Agent::attach(std::move(options));
  if (!agent) return exit_code(agent.error());
  auto inbox = agent->subscriber(kTopic);
  auto outgoing = agent->publisher("death.never");
  if (!inbox || !outgoing) return 1;
  touch_fabric();
  std::vector<Loan<Bytes>> loans;
  for (std::size_t i = 0; i < kLoans; ++i) {
    auto loan = outgoing->loan(1000);
    if (!loan) return exit_code(loan.error());
    loans.push_back(std::move(*loan));
  }
  (void)!write(STDOUT_FILENO, "s", 1);  // It has subscribed: it may be sent to.
  std::vector<Message<Bytes>> in_hand;
  while (in_hand.size() < kInHand) {
    if (auto message = inbox->take(kPatience)) in_hand.push_back(std::move(*message));
  }
  (void)!write(STDOUT_FILENO, "h", 1);  // Its hands are full.
  for (;;) pause();
}

class Victim {
 public:
  explicit Victim(const std::string& socket) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], STDOUT_FILENO);
      execl("/proc/self/exe", "death-victim", "--victim", socket.c_str(), static_cast<char*>(nullptr));
      _exit(127);
    }
    close(ends[1]);
    words_ = base::OwnedFd(ends[0]);
    pidfd_ = base::OwnedFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  ~Victim() {
    kill();
    waitpid(pid_, nullptr, 0);
  }

  bool says(char word) const {
    char heard = 0;
    pollfd descriptor{words_.get(), POLLIN, 0};
    return poll(&descriptor, 1, 10'000) == 1 && read(words_.get(), &heard, 1) == 1 && heard == word;
  }
  int pidfd() const noexcept { return pidfd_.get(); }
  void kill() const noexcept { ::kill(pid_, SIGKILL); }

 private:
  pid_t pid_ = -1;
  base::OwnedFd words_;
  base::OwnedFd pidfd_;
};

// --- one fabric -------------------------------------------------------------------------------------

enum Moment : std::size_t { kPidfd, kNoticed, kRoute, kWoken, kBack, kMomentCount };
constexpr std::size_t kOurs = kMomentCount;
constexpr std::size_t kRowCount = kMomentCount + 1;
constexpr std::array<const char*, kRowCount> kRowNames = {"pidfd", "noticed", "route", "woken", "back", "ours"};
constexpr std::array<uint64_t, kRowCount> kFloorsNs = {0, 5'000'000, 20'000'000, 20'000'000, 20'000'000, 0};

class Mortuary {
 public:
  explicit Mortuary(std::vector<std::string> settings) : supervisor_(std::move(settings)) {}

  // Why it cannot be used; empty: it can.
  std::string open() {
    if (!supervisor_.ready()) return supervisor_.why();
    auto observed = control::Client::observe(control::endpoint_at(supervisor_.socket()), 2s);
    if (!observed) return to_string(observed.error());
    observation_ = std::move(*observed);
    auto view = control::ControlView::open(observation_.control.bytes());
    if (!view) return to_string(view.error());
    view_.emplace(std::move(*view));
    for (auto* sending : {&filler_, &sleeper_}) {
      AgentOptions options = supervisor_.options(sending == &filler_ ? "filler" : "sleeper");
      options.wait = Wait::Sleep;
      auto agent = Agent::attach(std::move(options));
      if (!agent) return to_string(agent.error());
      auto publisher = agent->publisher(kTopic);
      if (!publisher) return to_string(publisher.error());
      sending->emplace(Sending{std::move(*agent), std::move(*publisher)});
    }
    free_chunks_ = count_free();
    return "";
  }

  std::string pages() const {
    auto inspector = Inspector::open({.socket = supervisor_.socket()});
    return inspector && !inspector->nodes().empty() ? inspector->nodes()[0].pages_got : "no";
  }
  uint64_t bytes() const noexcept {
    uint64_t bytes = 0;
    for (const auto& node : observation_.nodes) bytes += node.size();
    return bytes;
  }

  // One agent lives and dies. False: it did not come to that, or something was not given back.
  bool lose_one();
  const Times& times(std::size_t row) const noexcept { return times_[row]; }

 private:
  struct Sending {
    Agent agent;
    Publisher<Bytes> publisher;
  };

  uint64_t count_free() const {
    auto inspector = Inspector::open({.socket = supervisor_.socket()});
    if (!inspector) return 0;
    uint64_t count = 0;
    for (const NodeView& node : inspector->nodes()) {
      for (const ClassView& each : node.classes) count += each.chunks_free;
    }
    return count;
  }
  bool fill_lane() {
    for (int i = 0; i < 100'000; ++i) {
      auto sent = filler_->publisher.send_copy("work", {.timeout = 0ns});
      if (!sent) return false;
      if (sent->outcome == SendOutcome::Full) return true;
      if (!*sent) return false;
    }
    return false;
  }
  // Entries that are in use by "victim": one, or none when it is FREE.
  std::optional<uint32_t> find_victim() const {
    for (uint32_t id = 1; id < view_->agent_high(); ++id) {
      const layout::AgentEntry& entry = *view_->agent_entry(id);
      if (control::ControlView::text_of(entry.name, sizeof entry.name) == "victim" && state_of(id) == layout::AgentState::Live) return id;
    }
    return std::nullopt;
  }
  layout::AgentState state_of(uint32_t id) const {
    // A(directory): pairs with R(directory) in the supervisor's registry.
    return layout::agent_word_state(view_->agent_entry(id)->word.load(std::memory_order_acquire));
  }

  BenchSupervisor supervisor_;
  control::Observation observation_;
  std::optional<control::ControlView> view_;
  std::optional<Sending> filler_;
  std::optional<Sending> sleeper_;
  uint64_t free_chunks_ = 0;
  std::array<Times, kRowCount> times_;
};

bool Mortuary::lose_one() {
  const Victim victim(supervisor_.socket());
  if (!victim.says('s') || !fill_lane() || !victim.says('h') || !fill_lane()) return false;
  const auto id = find_victim();
  if (!id) return false;

  std::array<std::atomic<uint64_t>, kMomentCount> moments{};
  std::atomic<bool> was_gone{false};
  std::thread sleeping([&] {
    auto sent = sleeper_->publisher.send_copy("more", {.timeout = kPatience});
    moments[kWoken] = now_ns();
    was_gone = sent && sent->receiver_count == 0;
  });
  std::thread watching([&] {
    pollfd descriptor{victim.pidfd(), POLLIN, 0};
    poll(&descriptor, 1, 10'000);
    moments[kPidfd] = now_ns();
  });
  std::this_thread::sleep_for(5ms);  // They sleep now.

  const uint64_t begin_ns = now_ns();
  victim.kill();
  const auto note = [&](Moment moment, bool seen) {
    if (seen && moments[moment] == 0) moments[moment] = now_ns();
  };
  const timespec nap{0, 20'000};
  while (moments[kBack] == 0 || moments[kRoute] == 0) {
    const layout::AgentState state = state_of(*id);
    note(kBack, state == layout::AgentState::Free);
    note(kNoticed, state != layout::AgentState::Live);
    note(kRoute, filler_->publisher.receiver_count() == 0);
    if (now_ns() - begin_ns > kNeverNs) break;
    nanosleep(&nap, nullptr);
  }
  sleeping.join();
  watching.join();
  for (std::size_t i = 0; i < kMomentCount; ++i) times_[i].add(moments[i] == 0 ? kNeverNs : moments[i] - begin_ns);
  times_[kOurs].add(moments[kBack] > moments[kPidfd] ? moments[kBack] - moments[kPidfd] : 0);
  const uint64_t free_now = count_free();
  if (free_now != free_chunks_) {
    std::printf("FAILED: %llu chunks were free, now %llu are\n", static_cast<unsigned long long>(free_chunks_),
                static_cast<unsigned long long>(free_now));
  }
  return was_gone && free_now == free_chunks_;
}

int run(int deaths, const std::vector<std::string>& settings) {
  prctl(PR_SET_TIMERSLACK, 1);
  const BeforeOthers before_others;
  std::array<std::unique_ptr<Mortuary>, 2> fabrics;
  for (std::size_t i = 0; i < fabrics.size(); ++i) {
    std::vector<std::string> all = settings;
    all.push_back(i == 0 ? "hugepages=\"try\"" : "hugepages=\"off\"");
    fabrics[i] = std::make_unique<Mortuary>(all);
    if (const std::string why = fabrics[i]->open(); !why.empty()) {
      std::printf("SKIP: %s\n", why.c_str());
      return 1;
    }
  }
  const bool huge = fabrics[0]->pages() == "huge";
  std::printf("%d deaths on each kind of pages, in turn; %.0f MiB mapped and touched; %s\n", deaths,
              static_cast<double>(fabrics[0]->bytes()) / (1 << 20), before_others.words());
  for (int i = 0; i < deaths; ++i) {
    for (const auto& fabric : fabrics) {
      if (!fabric->lose_one()) {
        std::printf("FAILED: death %d\n", i);
        return 1;
      }
    }
  }
  std::printf("%-9s  %-24s  %-24s  floor\n", "ms", (fabrics[0]->pages() + " pages").c_str(), (fabrics[1]->pages() + " pages").c_str());
  std::printf("%-9s  %7s %7s %7s   %7s %7s %7s\n", "", "p50", "p99", "longest", "p50", "p99", "longest");
  bool holds = true;
  for (std::size_t i = 0; i < kRowCount; ++i) {
    std::printf("%-9s", kRowNames[i]);
    for (const auto& fabric : fabrics) {
      const Times& times = fabric->times(i);
      std::printf("  %7.3f %7.3f %7.3f ", times.ms(500), times.ms(990), times.ms(1000));
    }
    const bool met = kFloorsNs[i] == 0 || fabrics[0]->times(i).percentile_ns(990) <= kFloorsNs[i];
    holds = holds && met;
    if (kFloorsNs[i] != 0) std::printf("  %.0f ms: %s", static_cast<double>(kFloorsNs[i]) / 1e6, met ? "holds" : "MISSED");
    std::printf("\n");
  }
  if (!huge) std::printf("SKIP floors: there are no huge pages here\n");
  return holds || !huge ? 0 : 1;
}

}  // namespace
}  // namespace ripstop::perf

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--victim") == 0) return ripstop::perf::run_victim(argv[2]);
  int deaths = 200;
  std::vector<std::string> settings;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 < argc && option == "--deaths") deaths = std::atoi(argv[i + 1]);
    else if (i + 1 < argc && option == "--set") settings.emplace_back(argv[i + 1]);
    else return std::fprintf(stderr, "usage: death_bench [--deaths N] [--set KEY=VALUE ...]\n"), 2;
  }
  return ripstop::perf::run(deaths, settings);
}
