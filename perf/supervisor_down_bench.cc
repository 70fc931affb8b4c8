// What the death of the supervisor costs the agents, and how soon its successor is there.
//
//   build/release/perf/supervisor_down_bench [--agents 1000] [--processes 1000] [--rounds 10]
//
// A crowd is attached. One process publishes some thousand messages a second, another takes them; both
// sleep in between. In turn, a second in which nothing happens and a second in which the supervisor is
// killed, is missing for a while and is started again. Told are
//   delay     publish to take, of the messages of either kind of second. "Late" are those that took longer
//             than the normal 99th percentile: one in a hundred is normal.
//   adopted   from the start of the new supervisor (its fork) until it says that it has every agent
//   control   from there until a subscription of an agent of the old one was made, and until a new agent
//             was attached
// Ends with 1 if a message was lost, or if a floor does not hold: adopted 100 ms, control 1 s, and no more
// than twice the late messages.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench_supervisor.h"
#include "control/client.h"
#include "times.h"

namespace ripstop::perf {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kSamplesMax = 1 << 20;
constexpr auto kPause = 150us;  // Between two messages.
constexpr auto kWindow = 1s;
constexpr auto kAbsence = 300ms;
constexpr uint64_t kAdoptedFloorNs = 100'000'000;
constexpr uint64_t kControlFloorNs = 1'000'000'000;
constexpr double kLateFloor = 2;  // Times the normal share.

enum Kind : uint64_t { kWarm, kNormal, kDown, kEnd, kKindCount };

// What the processes of this bench tell each other.
struct Board {
  std::atomic<uint64_t> kind{kWarm};
  std::atomic<uint64_t> ready_count{0};
  std::atomic<uint64_t> failed_count{0};
  std::atomic<uint64_t> lost_count{0};
  std::atomic<uint64_t> sample_count{0};
  std::array<std::array<uint32_t, 2>, kSamplesMax> samples;  // Kind; delay in ns, 4 s at most.
};

Board* make_board() {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : new (memory) Board();
}

// Processes that end with the bench, or are ended by it.
class Company {
 public:
  ~Company() {
    for (const pid_t pid : pids_) ::kill(pid, SIGKILL);
    for (const pid_t pid : pids_) waitpid(pid, nullptr, 0);
  }
  template <class Body>
  void add(Board& board, Body body) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      prctl(PR_SET_TIMERSLACK, 1);
      if (!body()) ++board.failed_count;
      _exit(0);
    }
    if (pid > 0) pids_.push_back(pid);
    else ++board.failed_count;
  }

 private:
  std::vector<pid_t> pids_;
};

AgentOptions asleep(const BenchSupervisor& supervisor, std::string name) {
  AgentOptions options = supervisor.options(std::move(name));
  options.wait = Wait::Adaptive;
  options.timeout = 30s;
  return options;
}

bool be_crowd(const BenchSupervisor& supervisor, Board& board, int process, int agents) {
  std::vector<Agent> crowd;
  for (int i = 0; i < agents; ++i) {
    auto agent = Agent::attach(asleep(supervisor, "crowd-" + std::to_string(process) + "-" + std::to_string(i)));
    if (!agent) return exit_code(agent.error()) == 0;
    crowd.push_back(std::move(*agent));
    ++board.ready_count;
  }
  for (;;) pause();
}

bool publish(const BenchSupervisor& supervisor, Board& board) {
  auto agent = Agent::attach(asleep(supervisor, "mouth"));
  if (!agent) return false;
  auto publisher = agent->publisher("down.flow");
  if (!publisher) return false;
  ++board.ready_count;
  while (publisher->receiver_count() == 0) std::this_thread::sleep_for(1ms);
  for (uint64_t kind = kWarm; kind != kEnd;) {
    kind = board.kind;
    const std::string_view payload(reinterpret_cast<const char*>(&kind), sizeof kind);
    auto sent = publisher->send_copy(payload);
    if (!sent || !*sent) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

bool take(const BenchSupervisor& supervisor, Board& board) {
  auto agent = Agent::attach(asleep(supervisor, "ear"));
  if (!agent) return false;
  auto subscriber = agent->subscriber("down.flow");
  if (!subscriber) return false;
  ++board.ready_count;
  for (uint64_t kind = kWarm; kind != kEnd;) {
    auto message = subscriber->take(30s);
    const uint64_t taken_ns = now_ns();
    if (!message) return false;
    std::memcpy(&kind, message->bytes().data(), sizeof kind);
    const uint64_t at = board.sample_count.fetch_add(1);
    if (at < kSamplesMax) {
      board.samples[at] = {static_cast<uint32_t>(kind), static_cast<uint32_t>(taken_ns - message->info().publish_time_ns)};
    }
    board.lost_count = subscriber->lost_count();
  }
  return true;
}

// Waits until the supervisor of this pid says that it has `agents` agents. Nothing: it does not in time.
std::optional<uint64_t> wait_adopted(const BenchSupervisor& supervisor, uint32_t agents) {
  const uint64_t end_ns = now_ns() + 30'000'000'000;
  while (now_ns() < end_ns) {
    auto client = control::Client::connect(supervisor.socket(), 30s);
    auto status = client ? client->status() : Result<control::StatusReply>(client.error());
    if (status && status->pid == static_cast<uint32_t>(supervisor.pid()) && status->agent_count >= agents) return now_ns();
    std::this_thread::sleep_for(1ms);
  }
  return std::nullopt;
}

struct Successors {
  Times adopted;
  Times subscribed;
  Times attached;
};

// One second of each kind.
bool run_round(BenchSupervisor& supervisor, Board& board, Agent& agent, int round, uint32_t agents, Successors& successors) {
  board.kind = kNormal;
  std::this_thread::sleep_for(kWindow);
  board.kind = kDown;
  const auto end = std::chrono::steady_clock::now() + kWindow;
  supervisor.kill();
  std::this_thread::sleep_for(kAbsence);
  std::atomic<uint64_t> subscribed_ns{0};
  const uint64_t begin_ns = now_ns();
  supervisor.start();
  std::thread asking([&] {
    auto subscriber = agent.subscriber("down.round." + std::to_string(round));
    if (subscriber) subscribed_ns = now_ns();
  });
  const auto adopted_ns = wait_adopted(supervisor, agents);
  auto fresh = Agent::attach(supervisor.options("fresh"));
  const uint64_t attached_ns = now_ns();
  asking.join();
  if (!adopted_ns || !fresh || subscribed_ns == 0) return false;
  successors.adopted.add(*adopted_ns - begin_ns);
  successors.subscribed.add(subscribed_ns - begin_ns);
  successors.attached.add(attached_ns - begin_ns);
  std::this_thread::sleep_until(end);
  return true;
}

void tell(const char* what, const Times& times, uint64_t floor_ns, bool& holds) {
  const bool met = times.percentile_ns(1000) <= floor_ns;
  holds = holds && met;
  std::printf("%-10s  p50 %8.1f ms, longest %8.1f ms   floor %.0f ms: %s\n", what, times.ms(500), times.ms(1000),
              static_cast<double>(floor_ns) / 1e6, met ? "holds" : "MISSED");
}

int run(int agents, int processes, int rounds) {
  const BeforeOthers before_others;
  Board* board = make_board();
  BenchSupervisor supervisor({"agents=" + std::to_string(agents + 16), "topics=4096"});
  if (board == nullptr || !supervisor.ready()) {
    std::printf("SKIP: %s\n", board == nullptr ? "no memory" : supervisor.why().c_str());
    return 1;
  }
  Company company;
  for (int i = 0; i < processes; ++i) {
    const int own = agents / processes + (i < agents % processes ? 1 : 0);
    company.add(*board, [&, i, own] { return be_crowd(supervisor, *board, i, own); });
  }
  company.add(*board, [&] { return take(supervisor, *board); });
  company.add(*board, [&] { return publish(supervisor, *board); });
  const auto total = static_cast<uint64_t>(agents) + 2;
  while (board->ready_count < total && board->failed_count == 0) std::this_thread::sleep_for(5ms);
  auto agent = Agent::attach(asleep(supervisor, "asking"));
  if (!agent) return exit_code(agent.error());
  std::this_thread::sleep_for(kWindow);  // Warm.

  std::printf("%d agents in %d processes; %d rounds; %s\n", agents, processes, rounds, before_others.words());
  Successors successors;
  for (int round = 0; round < rounds && board->failed_count == 0; ++round) {
    if (!run_round(supervisor, *board, *agent, round, static_cast<uint32_t>(total) + 1, successors)) {
      std::printf("FAILED: no successor in round %d\n", round);
      return 1;
    }
  }
  board->kind = kEnd;
  std::this_thread::sleep_for(100ms);
  std::array<Times, kKindCount> delays;
  const uint64_t sample_count = std::min<uint64_t>(board->sample_count, kSamplesMax);
  for (uint64_t i = 0; i < sample_count; ++i) delays[board->samples[i][0]].add(board->samples[i][1]);
  if (board->failed_count != 0 || board->lost_count != 0) {
    std::printf("FAILED: %llu processes failed, %llu messages were lost\n", static_cast<unsigned long long>(board->failed_count),
                static_cast<unsigned long long>(board->lost_count));
    return 1;
  }
  const uint64_t normal_p99_ns = delays[kNormal].percentile_ns(990);
  for (const Kind kind : {kNormal, kDown}) {
    const Times& times = delays[kind];
    std::printf("%-10s  %7zu messages, us: p50 %.1f, p99 %.1f, p99.9 %.1f, longest %.1f; late %.2f %%\n",
                kind == kNormal ? "normal" : "killed", times.count(), times.ms(500) * 1e3, times.ms(990) * 1e3,
                times.ms(999) * 1e3, times.ms(1000) * 1e3, 100 * times.share_above(normal_p99_ns));
  }
  const double late = delays[kDown].share_above(normal_p99_ns) / std::max(delays[kNormal].share_above(normal_p99_ns), 0.001);
  bool holds = late <= kLateFloor;
  std::printf("%-10s  %.2f times the normal share               floor %.0f: %s\n", "late", late, kLateFloor, holds ? "holds" : "MISSED");
  tell("adopted", successors.adopted, kAdoptedFloorNs, holds);
  tell("subscribed", successors.subscribed, kControlFloorNs, holds);
  tell("attached", successors.attached, kControlFloorNs, holds);
  return holds ? 0 : 1;
}

}  // namespace
}  // namespace ripstop::perf

int main(int argc, char** argv) {
  int agents = 1000;
  int processes = 1000;
  int rounds = 10;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    const int number = i + 1 < argc ? std::atoi(argv[i + 1]) : 0;
    if (number <= 0) return std::fprintf(stderr, "usage: supervisor_down_bench [--agents N] [--processes N] [--rounds N]\n"), 2;
    if (option == "--agents") agents = number;
    else if (option == "--processes") processes = number;
    else if (option == "--rounds") rounds = number;
    else return std::fprintf(stderr, "supervisor_down_bench: no option '%s'\n", option.c_str()), 2;
  }
  return ripstop::perf::run(agents, std::min(agents, processes), rounds);
}
