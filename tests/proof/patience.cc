// A timer that ticks: of the ticks that pass while a process is stopped, one arrives.
#include "proof/patience.h"

#include <signal.h>
#include <sys/time.h>

namespace ripstop::proof {

namespace {

volatile sig_atomic_t seconds_left = 0;

void tick(int) {
  seconds_left = seconds_left - 1;
  if (seconds_left > 0) return;
  signal(SIGALRM, SIG_DFL);
  raise(SIGALRM);
}

}  // namespace

void lose_patience_after(int seconds) {
  seconds_left = seconds;
  struct sigaction action{};
  action.sa_handler = tick;
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval every_second{{1, 0}, {1, 0}};
  setitimer(ITIMER_REAL, &every_second, nullptr);
}

}  // namespace ripstop::proof
