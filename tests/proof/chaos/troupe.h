// The processes of the soak: started, stopped, killed, reaped and read.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

#include "ledger.h"
#include "oracle.h"
#include "verdict.h"

namespace chaos {

class Troupe {
 public:
  Troupe(Ledger& ledger, Oracle& oracle, Verdict& verdict, uint64_t seed)
      : ledger_(ledger), oracle_(oracle), verdict_(verdict), seed_(seed) {}
  ~Troupe();

  // Starts whoever is due, continues whoever was stopped long enough, reads every page and reaps the
  // dead. True: something moved.
  bool tend(uint64_t now_ns);
  // False when it does not run, or is being ended already.
  bool kill(std::size_t player);
  bool stop(std::size_t player, uint64_t until_ns, bool then_kill);
  bool ask_to_leave(std::size_t player);
  // Nobody is stopped or waits to be started any more.
  void all_up(uint64_t now_ns);
  // No more starts.
  void last_act() { last_act_ = true; }
  bool all_ended() const;
  // Whether each process has reached what `word` counts up to.
  bool all_at(uint32_t phase, std::atomic<uint32_t> Page::* word) const;
  bool all_attached() const;
  // Who makes no progress, though it runs.
  void look_for_blocked(uint64_t now_ns);

  uint64_t publisher_kills = 0;
  uint64_t receiver_kills = 0;
  uint64_t stop_count = 0;
  uint64_t leave_count = 0;
  uint64_t retry_count = 0;      // Ended by themselves because a control call timed out.
  uint64_t in_hand_at_death = 0;
  uint64_t killed_in_send = 0;
  uint64_t killed_in_attach = 0;
  uint64_t attach_ns_max = 0;
  uint64_t stall_count = 0;  // Times that this process itself could not look for 2 s.

 private:
  struct Process {
    pid_t pid = -1;
    uint32_t incarnation = 0;
    uint64_t start_ns = 0;       // When it is started next.
    uint64_t continue_ns = 0;    // 0: not stopped.
    bool then_kill = false;
    bool ending = false;         // It was told to, one way or another.
    uint64_t born_ns = 0;
    bool attached = false;
    uint64_t beat = 0;           // The last one seen, when, and its wait for a processor until then.
    uint64_t beat_ns = 0;
    uint64_t beat_delay_ns = 0;
  };

  void start(std::size_t player, uint64_t now_ns);
  bool read_page(std::size_t player, bool dead);
  bool reap(std::size_t player, uint64_t now_ns);
  void go_on(std::size_t player, uint64_t now_ns);

  Ledger& ledger_;
  Oracle& oracle_;
  Verdict& verdict_;
  uint64_t seed_;
  bool last_act_ = false;
  uint64_t look_ns_ = 0;
  std::array<Process, kPlayerCount> processes_;
};

}  // namespace chaos
