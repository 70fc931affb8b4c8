// A planner and its workers: the program to copy when you start with Ripstop.
//
//   crew worker NAME                     takes jobs from crew.job.NAME, answers to crew.answer
//   crew planner SECONDS WORKER...       hands jobs to the workers in turn and keeps the ledger
//
// The planner knows the fate of every job: it asked send() how far each one came. A worker that is killed and
// started again gets what it had not finished, as a further attempt. At the end the planner prints its
// figures and exits with 0 only if they add up.
#include <ripstop/ripstop.h>

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
    auto answer = answers->loan();
    if (!answer) return ripstop::exit_code(answer.error());
    auto root = answer->root();
    root.setNumber(job->root().getNumber());
    root.setWorker(name);
    root.setValue(work(job->root().getSeed(), job->root().getRounds()));
    root.setAttempt(job->info().attempt);
    (void)answer->send();  // A planner that has ended wants no answer.
  }
  return 0;
}

struct Worker {
  std::string name;
  ripstop::Publisher<Job> jobs;
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
      hand_to(turn % workers_.size());
      next += 100us;
      while (Clock::now() < next) take_answers(std::chrono::duration_cast<std::chrono::nanoseconds>(next - Clock::now()));
    }
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
      if (!worker.gone && sent.outcome != ripstop::SendOutcome::Full) {
        const auto why = ripstop::to_string(sent.outcome);
        std::printf("planner: job %" PRIu64 " for %s: %.*s; the others go on\n", number, worker.name.c_str(),
                    static_cast<int>(why.size()), why.data());
        std::fflush(stdout);
        worker.gone = true;
      }
      return;
    }
    ++sent_count_;
    worker.gone = false;
    pending_[number] = {index, work(number * 0x9e3779b97f4a7c15u + 1, 200)};
  }

  void take_answers(std::chrono::nanoseconds timeout) {
    auto answer = answers_.take(timeout);
    if (!answer) return;
    auto root = answer->root();
    const auto job = pending_.find(root.getNumber());
    if (job == pending_.end()) {
      // Its worker was killed between the answer and the end of the job: the next one did it again.
      ++(root.getAttempt() > 0 ? repeated_count_ : unknown_count_);
      return;
    }
    if (root.getAttempt() > 0) ++inherited_count_;
    if (job->second.value != root.getValue()) ++wrong_count_;
    ++workers_[job->second.worker].answered_count;
    ++answered_count_;
    pending_.erase(job);
  }

  void collect(Clock::time_point end) {
    while (!pending_.empty() && Clock::now() < end) take_answers(50ms);
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
    for (const Worker& worker : workers_) {
      if (!worker.gone) lost_count += left[worker.name];
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
