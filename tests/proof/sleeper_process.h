// A process that sleeps in the kernel on a word of the fabric, again and again.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "proof/wake_scenarios.h"

namespace ripstop::proof {

class SleeperProcess {
 public:
  // Forks. The memory that `asleep` names is shared with this process. It ends with this one.
  explicit SleeperProcess(const Asleep& asleep);
  SleeperProcess(const SleeperProcess&) = delete;
  SleeperProcess& operator=(const SleeperProcess&) = delete;

  // Sends it to sleep, and returns when it sleeps. The word is as it was when it armed.
  void fall_asleep();
  // Whether the kernel has it asleep on the word still: a look, not a guess about time.
  bool is_asleep() const;
  // Wakes it, if nobody did.
  void get_up();

 private:
  // What it writes.
  struct State {
    std::atomic<uint32_t> night;  // Futex word: it is to sleep once for each.
    std::atomic<uint32_t> lying;  // It has gone to bed that many times, ...
    std::atomic<uint32_t> up;     // ... and got up that many times.
  };
  bool sleeps_in_kernel() const;

  Asleep asleep_;
  State* state_;
  pid_t pid_ = -1;
};

}  // namespace ripstop::proof
