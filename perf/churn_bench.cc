// What subscribing and unsubscribing costs those who publish meanwhile.
//
//   build/release/perf/churn_bench [--rounds 5]
//
// One thread sends 64 bytes and takes them, without a pause; the time of each send is told. In turn, half a
// second in which nothing changes, one in which another process subscribes and unsubscribes patterns that
// name one of 500 other topics, 10,000 times a second in all, and one in which its patterns name this topic:
// the publisher has another receiver half of the time, and resolves its route again at each change.
// Serves "publish p99 during 10,000 subscribe/unsubscribe per second". Ends with 1 if a change failed.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "agent/agent_core.h"
#include "bench_supervisor.h"
#include "times.h"

namespace ripstop::perf {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

enum Kind : uint32_t { kNothing, kElsewhere, kHere, kKindCount, kEnd };
constexpr const char* kNames[] = {"nothing changes", "patterns elsewhere", "patterns that name it"};
constexpr auto kWindow = 500ms;
constexpr auto kBetweenChanges = 100us;

struct Board {
  std::atomic<uint32_t> kind{kNothing};
  std::atomic<uint64_t> change_count{0};
  std::atomic<bool> ready{false};
  std::atomic<bool> failed{false};
};

constexpr uint64_t kTopics = 500;

bool change(const BenchSupervisor& supervisor, Board& board) {
  auto agent = detail::AgentCore::attach(supervisor.options("changing"));
  if (!agent) return exit_code(agent.error()) == 0;
  for (uint64_t i = 0; i < kTopics; ++i) {
    const std::string name = "other" + std::to_string(i) + ".a.x";
    if (!(*agent)->control_call([&](control::AgentLink& link) { return link.topic_id(name); })) return false;
  }
  board.ready = true;
  std::vector<uint32_t> ids;  // Twenty at most; the oldest ends.
  auto next = Clock::now();
  for (uint64_t i = 0; board.kind != kEnd; ++i) {
    const uint32_t kind = board.kind;
    if (kind == kNothing) {
      std::this_thread::sleep_for(1ms);
      next = Clock::now();
      continue;
    }
    bool done = false;
    if (ids.size() < (kind == kHere ? 1 : 20) && i % 2 == 0) {
      control::SubscribeRequest request;
      const std::string n = std::to_string(i % kTopics);
      request.topic = kind == kHere ? (i % 4 == 0 ? "churn.*.topic" : "churn.**") : "other" + n + ".*.x";
      request.row = 31;
      auto made = (*agent)->control_call([&](control::AgentLink& link) { return link.subscribe(request); });
      done = made.has_value();
      if (made) ids.push_back(made->subscription_id);
    } else if (!ids.empty()) {
      (*agent)->control_call([&](control::AgentLink& link) { link.unsubscribe(ids.front()); });
      ids.erase(ids.begin());
      done = true;
    } else {
      continue;
    }
    if (!done) return false;
    ++board.change_count;
    while (auto message = (*agent)->inbox().take(nullptr)) message->release();
    next += kBetweenChanges;
    std::this_thread::sleep_until(next);
  }
  return true;
}

struct Told {
  Times sends;
  uint64_t changes = 0;
  double seconds = 0;
};

int run(int rounds) {
  BenchSupervisor supervisor;
  if (!supervisor.ready()) {
    std::printf("churn_bench SKIP %s\n", supervisor.why().c_str());
    return 0;
  }
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto& board = *new (memory) Board();
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1);
    if (!change(supervisor, board)) board.failed = true;
    _exit(0);
  }
  Told told[kKindCount];
  {
    auto agent = Agent::attach(supervisor.options("sender"));
    auto other = Agent::attach(supervisor.options("receiver"));
    if (!agent || !other) return 1;
    auto publisher = agent->publisher("churn.bench.topic");
    auto subscriber = other->subscriber("churn.bench.topic", {.own_ring = true});
    if (!publisher || !subscriber) return 1;
    while (!board.ready && !board.failed) std::this_thread::sleep_for(1ms);
    SendOptions options;
    options.timeout = 0ns;
    char payload[64] = {};
    for (int round = 0; round < rounds * int{kKindCount} && !board.failed; ++round) {
      const auto kind = static_cast<uint32_t>(round) % kKindCount;
      board.kind = kind;
      std::this_thread::sleep_for(20ms);  // What the last kind has begun is over.
      const uint64_t before = board.change_count;
      const auto begin = Clock::now();
      while (Clock::now() - begin < kWindow) {
        for (int i = 0; i < 64; ++i) {
          const uint64_t start_ns = now_ns();
          auto sent = publisher->send_copy(std::string_view(payload, sizeof payload), options);
          told[kind].sends.add(now_ns() - start_ns);
          if (!sent) return 1;
          while (auto message = subscriber->take()) message->release();
        }
      }
      told[kind].changes += board.change_count - before;
      told[kind].seconds += std::chrono::duration<double>(Clock::now() - begin).count();
    }
    board.kind = kEnd;
  }
  waitpid(pid, nullptr, 0);
  const auto normal = static_cast<double>(told[kNothing].sends.percentile_ns(990));
  for (uint32_t kind = 0; kind < kKindCount; ++kind) {
    const Times& sends = told[kind].sends;
    std::printf("%-22s p50 %5llu ns   p99 %5llu ns (%.2f x)   p99.9 %6llu ns   %8zu sends   %6.0f changes/s\n", kNames[kind],
                static_cast<unsigned long long>(sends.percentile_ns(500)), static_cast<unsigned long long>(sends.percentile_ns(990)),
                static_cast<double>(sends.percentile_ns(990)) / normal, static_cast<unsigned long long>(sends.percentile_ns(999)),
                sends.count(), static_cast<double>(told[kind].changes) / told[kind].seconds);
  }
  return board.failed ? 1 : 0;
}

}  // namespace
}  // namespace ripstop::perf

int main(int argc, char** argv) {
  int rounds = 5;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--rounds") == 0 && i + 1 < argc) {
      rounds = std::atoi(argv[++i]);
    } else {
      std::fprintf(stderr, "usage: churn_bench [--rounds N]\n");
      return 2;
    }
  }
  return ripstop::perf::run(rounds < 1 ? 1 : rounds);
}
