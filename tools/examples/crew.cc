// A planner and its workers: the program to copy when you start with Ripstop.
//
//   crew worker NAME                     takes jobs from crew.job.NAME, answers to crew.answer
//   crew planner SECONDS WORKER...       hands jobs to the workers in turn and keeps the ledger
//
// The planner knows the fate of every job: it asked send() how far each one came. A worker that is killed and
// started again gets what it had not finished, as a further attempt. At the end the planner prints its
// figures and exits with 0 only if they add up.
#include <ripstop/ripstop.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "crew.capnp.h"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Unanswered jobs that a worker may have. All workers' together fit into the planner's inbox, so that planner
// and workers never wait for one another's room; and a worker that hangs costs the others nothing.
constexpr std::size_t kWindow = 32;

volatile std::sig_atomic_t ending = 0;

// Some work that the planner can check.
uint64_t work(uint64_t seed, uint32_t rounds) {
  for (uint32_t i = 0; i < rounds; ++i) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
  }
  return seed;
}

int run_worker(const std::string& name) {
  auto agent = ripstop::Agent::attach({.name = name});
  if (!agent) return ripstop::exit_code(agent.error());
  auto jobs = agent->subscriber<Job>("crew.job." + name);
  if (!jobs) return ripstop::exit_code(jobs.error());
  auto answers = agent->publisher<Answer>("crew.answer");
  if (!answers) return ripstop::exit_code(answers.error());

  while (ending == 0) {
    auto job = jobs->take(200ms);
    if (!job) continue;
    const uint64_t value = work(job->root().getSeed(), job->root().getRounds());
    // The job is released when its answer is on its way, not before. A planner that hangs gets it again and
    // again; one that has ended wants none.
    for (bool full = true; full && ending == 0;) {
      auto answer = answers->loan();
      if (!answer) return ripstop::exit_code(answer.error());
      auto root = answer->root();
      root.setNumber(job->root().getNumber());
      root.setWorker(name);
      root.setValue(value);
      root.setAttempt(job->info().attempt);
      full = answer->send().outcome == ripstop::SendOutcome::Full;
    }
  }
  return 0;
}

struct Worker {
  std::string name;
  ripstop::Publisher<Job> jobs;
  std::size_t unanswered_count = 0;
  uint64_t answered_count = 0;
  bool gone = false;
};

struct Pending {
  std::size_t worker;
  uint64_t value;
};

class Planner {
 public:
  static int run(std::chrono::seconds length, const std::vector<std::string>& names) {
    auto agent = ripstop::Agent::attach({.name = "planner"});
    if (!agent) return ripstop::exit_code(agent.error());
    auto answers = agent->subscriber<Answer>("crew.answer");
    if (!answers) return ripstop::exit_code(answers.error());
    Planner planner(std::move(*answers));
    for (const std::string& name : names) {
      auto jobs = agent->publisher<Job>("crew.job." + name);
      if (!jobs) return ripstop::exit_code(jobs.error());
      planner.workers_.push_back(Worker{name, std::move(*jobs)});
    }
    planner.hand_out(Clock::now() + length);
    planner.collect(Clock::now() + 1s);
    return planner.report();
  }

 private:
  explicit Planner(ripstop::Subscriber<Answer> answers) : answers_(std::move(answers)) {}

  void hand_out(Clock::time_point end) {
    auto next = Clock::now();
    for (std::size_t turn = 0; Clock::now() < end && ending == 0; ++turn) {
      const std::size_t index = turn % workers_.size();
      if (is_there(workers_[index]) && workers_[index].unanswered_count < kWindow) hand_to(index);
      // Never more than a burst behind: what the machine held up is not made good in one go.
      next = std::max(next + 100us, Clock::now() - 10ms);
      while (take_answer(0ns)) {
      }
      for (auto now = Clock::now(); now < next; now = Clock::now()) {
        (void)take_answer(std::chrono::duration_cast<std::chrono::nanoseconds>(next - now));
      }
    }
  }

  // Says so when that changes.
  static bool is_there(Worker& worker) {
    const bool gone = worker.jobs.receiver_count() == 0;
    if (gone != worker.gone) {
      std::printf(gone ? "planner: %s is gone, with %zu jobs in its hands; the others go on\n"
                       : "planner: %s is back, with %zu jobs to finish\n",
                  worker.name.c_str(), worker.unanswered_count);
      std::fflush(stdout);
      worker.gone = gone;
    }
    return !gone;
  }

  void hand_to(std::size_t index) {
    Worker& worker = workers_[index];
    auto job = worker.jobs.loan();
    if (!job) {
      (void)ripstop::exit_code(job.error());
      return;
    }
    const uint64_t number = sent_count_ + refused_count_ + 1;
    auto root = job->root();
    root.setNumber(number);
    root.setSeed(number * 0x9e3779b97f4a7c15u + 1);
    root.setRounds(200);
    root.setText("mend the net");
    const ripstop::Sent sent = job->send({.timeout = 10ms});
    if (!sent) {
      ++refused_count_;
      return;
    }
    ++sent_count_;
    ++worker.unanswered_count;
    pending_[number] = {index, work(number * 0x9e3779b97f4a7c15u + 1, 200)};
  }

  bool take_answer(std::chrono::nanoseconds timeout) {
    auto answer = timeout.count() == 0 ? answers_.take() : answers_.take(timeout);
    if (!answer) return false;
    auto root = answer->root();
    const auto job = pending_.find(root.getNumber());
    if (job == pending_.end()) {
      // Its worker was killed between the answer and the end of the job: the next one did it again.
      ++(root.getAttempt() > 0 ? repeated_count_ : unknown_count_);
      return true;
    }
    if (root.getAttempt() > 0) ++inherited_count_;
    if (job->second.value != root.getValue()) ++wrong_count_;
    ++workers_[job->second.worker].answered_count;
    --workers_[job->second.worker].unanswered_count;
    ++answered_count_;
    pending_.erase(job);
    return true;
  }

  void collect(Clock::time_point end) {
    while (!pending_.empty() && Clock::now() < end) (void)take_answer(50ms);
  }

  // Jobs without an answer are the ones a worker had when it was killed.
  int report() {
    std::map<std::string, uint64_t> left;
    for (const auto& [number, job] : pending_) ++left[workers_[job.worker].name];
    for (const Worker& worker : workers_) {
      std::printf("planner: %-8s answered %8" PRIu64 "   unanswered %4" PRIu64 "\n", worker.name.c_str(),
                  worker.answered_count, left[worker.name]);
    }
    uint64_t lost_count = 0;
    for (Worker& worker : workers_) {
      if (is_there(worker)) lost_count += left[worker.name];
    }
    std::printf("planner: %" PRIu64 " sent, %" PRIu64 " answered, %" PRIu64 " of them by a successor; %zu in a killed worker's hands, %"
                PRIu64 " refused with a reason\n",
                sent_count_, answered_count_, inherited_count_, pending_.size() - lost_count, refused_count_);
    std::printf("planner: %" PRIu64 " lost, %" PRIu64 " doubled, %" PRIu64 " wrong; %" PRIu64
                " done again that had been answered at the kill\n",
                lost_count, unknown_count_, wrong_count_, repeated_count_);
    return lost_count + unknown_count_ + wrong_count_ == 0 ? 0 : 1;
  }

  ripstop::Subscriber<Answer> answers_;
  std::vector<Worker> workers_;
  std::map<uint64_t, Pending> pending_;
  uint64_t sent_count_ = 0;
  uint64_t answered_count_ = 0;
  uint64_t refused_count_ = 0;
  uint64_t inherited_count_ = 0;
  uint64_t repeated_count_ = 0;
  uint64_t unknown_count_ = 0;
  uint64_t wrong_count_ = 0;
};

int usage() {
  std::fprintf(stderr, "usage: crew worker NAME\n       crew planner SECONDS WORKER...\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGTERM, [](int) { ending = 1; });
  std::signal(SIGINT, [](int) { ending = 1; });
  if (argc == 3 && std::strcmp(argv[1], "worker") == 0) return run_worker(argv[2]);
  if (argc >= 4 && std::strcmp(argv[1], "planner") == 0) {
    return Planner::run(std::chrono::seconds(std::atoi(argv[2])), std::vector<std::string>(argv + 3, argv + argc));
  }
  return usage();
}
