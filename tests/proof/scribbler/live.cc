// Who works on the scribbled node may be told Corrupt, lose messages, or be refused; it may not crash and not
// hang. The bystanders' node is whole: they must not notice.
#include "scribbler/live.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include "base/check.h"
#include "mapping/fabric.h"
#include "proof/shared_block.h"
#include "ripstop/agent.h"
#include "scribbler/steps.h"

namespace ripstop::proof {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// After the scribbler's end: how long a worker may take to come out of what it is in. It takes milliseconds.
constexpr auto kPatience = 60s;

struct Counts {
  std::atomic<uint64_t> writes;
  std::atomic<uint64_t> sent;
  std::atomic<uint64_t> taken;
  std::atomic<uint64_t> corrupt;
};

pid_t start(const std::function<void()>& body) {
  const pid_t pid = fork();
  RIPSTOP_CHECK(pid >= 0);
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  body();
  _exit(0);
}

// What lies elsewhere in the node, or near it: most of it is plausible.
void scribble(const Descriptors& got, Clock::time_point end, uint64_t seed, Counts& counts) {
  const std::size_t bytes = got.segment_bytes[1];
  void* place = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, got.fds[1].get(), 0);
  RIPSTOP_CHECK(place != MAP_FAILED);
  auto* words = static_cast<volatile uint64_t*>(place);
  const std::size_t count = bytes / sizeof(uint64_t);
  std::mt19937_64 random(seed);
  while (Clock::now() < end) {
    for (int i = 0; i < 4096; ++i) {
      const uint64_t draw = random();
      // Half of it where the words of agents and rings are.
      const std::size_t at = (draw & 1) != 0 ? (draw >> 8) % count : (draw >> 8) % (count / 4);
      uint64_t value = words[(draw >> 32) % count];
      switch ((draw >> 1) % 8) {
        case 0: value = random(); break;
        case 1: value ^= uint64_t{1} << (draw >> 58); break;
        case 2: value = draw % 3 - 1; break;
        case 3: value = words[at] + (uint64_t{1} << 28); break;
        default: break;
      }
      words[at] = value;
    }
    counts.writes.fetch_add(4096);
  }
}

AgentOptions named(const std::string& name) {
  AgentOptions options;
  options.name = name;
  options.node = 0;
  options.wait = Wait::Sleep;
  return options;
}

// Publishes and takes, on the scribbled node, until the time is over.
void work(const std::string& name, Clock::time_point end, Counts& counts) {
  while (Clock::now() < end) {
    step_count = 0;
    auto agent = Agent::attach(named(name));
    if (!agent) {
      std::this_thread::sleep_for(1ms);
      continue;
    }
    auto publisher = agent->publisher("live.topic");
    SubscriberOptions options;
    options.own_ring = name.back() % 2 == 0;
    auto subscriber = agent->subscriber("live.topic", options);
    const auto until = std::min(end, Clock::now() + 1s);  // And then once more from the beginning.
    while (publisher && subscriber && Clock::now() < until) {
      step_count = 0;  // What does not end, ends the process.
      for (int i = 0; i < 8; ++i) {
        auto loan = publisher->loan(64);
        if (!loan) break;
        std::memset(loan->bytes().data(), i, 64);
        SendOptions send;
        send.timeout = 0ns;
        counts.sent += loan->send(send).receiver_count > 0 ? 1 : 0;
      }
      for (int i = 0; i < 16; ++i) {
        auto message = subscriber->take(1ms);
        if (!message) {
          counts.corrupt += message.outcome() == TakeOutcome::Corrupt ? 1 : 0;
          break;
        }
        uint64_t sum = 0;
        for (const auto& segment : message->segments()) {
          for (const std::byte byte : segment) sum += static_cast<uint64_t>(byte);
        }
        (void)message->info();
        counts.taken += sum != ~uint64_t{0} ? 1 : 0;
      }
    }
  }
}

// Whether it ended well; a FAULT line if not.
bool ended_well(pid_t pid, const char* who, LiveFigures& figures) {
  const auto end = Clock::now() + kPatience;
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (Clock::now() > end) {
      std::printf("FAULT live: %s does not come to its end\n", who);
      ++figures.blocked;
      kill(pid, SIGABRT);
      waitpid(pid, &status, 0);
      return false;
    }
    std::this_thread::sleep_for(2ms);
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  std::printf("FAULT live: %s ended by %s %d\n", who, WIFSIGNALED(status) ? "signal" : "status",
              WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  ++figures.wrong;
  return false;
}

}  // namespace

LiveFigures run_live(uint32_t seconds, uint64_t seed) {
  LiveFigures figures;
  const auto wrong = [&](const std::string& what) {
    std::printf("FAULT live: %s\n", what.c_str());
    ++figures.wrong;
  };
  Fabric fabric(Pages::Small);
  if (!fabric.trouble().empty()) {
    wrong("there is no fabric: " + fabric.trouble());
    return figures;
  }
  auto* counts = share<Counts>();
  auto got = fabric.attach("scribbler", 0);
  if (!got) {
    wrong("the scribbler cannot attach: " + to_string(got.error()));
    return figures;
  }
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  std::vector<pid_t> workers;
  for (int i = 0; i < 3; ++i) workers.push_back(start([&] { work("worker" + std::to_string(i), end, *counts); }));
  std::this_thread::sleep_for(300ms);  // They have begun with good memory.
  const pid_t scribbler = start([&] { scribble(*got, end, seed, *counts); });
  uint64_t questions = 0;
  for (uint64_t round = 0; Clock::now() < end; ++round) {
    if (!fabric.answers()) wrong("the supervisor does not answer: " + fabric.log().substr(0, 2000));
    for (const char* verb : {"status", "agents", "segments", "topics", "show ring 1", "show chunk 0/3/5", "show agent worker1", "dlq list"}) {
      const std::string text = fabric.shmctl(verb);
      if (text.compare(0, 6, "signal") == 0) wrong(std::string("shmctl ") + verb + " was ended by " + text);
      ++questions;
    }
    // One that dies where it is scribbled: all of recovery runs. It may not even get that far.
    const pid_t victim = start([&] {
      auto agent = Agent::attach(named("victim"));
      if (!agent) return;
      auto subscriber = agent->subscriber("live.topic");
      std::this_thread::sleep_for(20ms);
      kill(getpid(), SIGKILL);
    });
    int status = 0;
    waitpid(victim, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) wrong("an agent crashed: signal " + std::to_string(WTERMSIG(status)));
    if (!fabric.bystanders_talk()) {
      wrong("the bystanders do not talk any more");
      break;
    }
    if (figures.wrong > 10) break;
  }
  (void)ended_well(scribbler, "the scribbler", figures);
  for (const pid_t worker : workers) (void)ended_well(worker, "an agent that works", figures);
  if (waitpid(fabric.pid(), nullptr, WNOHANG) != 0) wrong("the supervisor has ended: " + fabric.log());
  else if (!fabric.answers()) wrong("the supervisor does not answer afterwards");
  figures.writes = counts->writes.load();
  std::printf("live: %llu words written; %llu messages sent, %llu taken, %llu answers Corrupt; %llu questions of shmctl\n",
              static_cast<unsigned long long>(figures.writes), static_cast<unsigned long long>(counts->sent.load()),
              static_cast<unsigned long long>(counts->taken.load()), static_cast<unsigned long long>(counts->corrupt.load()),
              static_cast<unsigned long long>(questions));
  if (figures.writes == 0 || counts->taken.load() == 0) wrong("nothing was written or nothing taken: nothing was tested");
  return figures;
}

}  // namespace ripstop::proof
