#include "proof/sleeper_process.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstring>

#include "proof/shared_block.h"
#include "ring/doorbell.h"

namespace ripstop::proof {

SleeperProcess::SleeperProcess(const Asleep& asleep) : asleep_(asleep), state_(share<State>()) {
  pid_ = fork();
  RIPSTOP_CHECK(pid_ >= 0);
  if (pid_ != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (uint32_t night = 0;; ++night) {
    while (state_->night.load() == night) ring::futex_wait(state_->night, night, 0);
    state_->lying.fetch_add(1);
    ring::futex_wait(*asleep_.word, asleep_.armed, 0);
    state_->up.fetch_add(1);
  }
}

// The state letter in /proc: behind the name, which ends with the last parenthesis.
bool SleeperProcess::sleeps_in_kernel() const {
  const std::string file = "/proc/" + std::to_string(pid_) + "/stat";
  std::FILE* stat = std::fopen(file.c_str(), "r");
  if (stat == nullptr) return false;
  char text[512] = {};
  const std::size_t length = std::fread(text, 1, sizeof text - 1, stat);
  std::fclose(stat);
  const char* name_end = length == 0 ? nullptr : std::strrchr(text, ')');
  return name_end != nullptr && name_end[2] == 'S';
}

void SleeperProcess::fall_asleep() {
  state_->night.fetch_add(1);
  ring::futex_wake(state_->night, 1);
  // Once it lies down there is one call left in which it can sleep.
  while (state_->lying.load() != state_->night.load() || !sleeps_in_kernel()) sched_yield();
}

// In this order: had it got up before the first look, the second one would see so.
bool SleeperProcess::is_asleep() const { return sleeps_in_kernel() && state_->up.load() != state_->night.load(); }

void SleeperProcess::get_up() {
  while (state_->up.load() != state_->night.load()) {
    ring::futex_wake(*asleep_.word, INT_MAX);
    sched_yield();
  }
}

}  // namespace ripstop::proof
