// The soak: kills, stops and restarts by a schedule that follows from the seed, with quiet phases in
// between in which everything must add up.
#pragma once

#include <cstdint>

#include "ledger.h"
#include "oracle.h"
#include "payload.h"
#include "quiet.h"
#include "supervisor.h"
#include "troupe.h"
#include "verdict.h"

namespace chaos {

struct SoakOptions {
  uint64_t seconds = 60;
  uint64_t kill_count = 0;  // Ends earlier, after so many kills; 0: does not.
  uint64_t seed = 1;
  uint64_t kill_pause_ms = 120;  // Mean.
  uint64_t quiet_seconds = 15;
  bool verbose = false;
};

class Soak {
 public:
  Soak(const SoakOptions& options, Ledger& ledger, Supervisor& supervisor)
      : options_(options), ledger_(ledger), supervisor_(supervisor), oracle_(verdict_), troupe_(ledger, oracle_, verdict_, options.seed), dice_(options.seed) {}

  // Prints the line of figures; whether nothing was wrong.
  bool run();

 private:
  void act(uint64_t now_ns);
  void act_on_supervisor(uint64_t now_ns);
  bool quiet();
  bool end();
  // Tends the troupe until `condition`; false, and a verdict, when it takes too long.
  template <class Condition>
  bool wait_for(const char* what, Condition condition);
  void tend(uint64_t now_ns);
  void report();
  uint64_t kills() const { return troupe_.publisher_kills + troupe_.receiver_kills + supervisor_kills_; }

  SoakOptions options_;
  Ledger& ledger_;
  Supervisor& supervisor_;
  Verdict verdict_;
  Oracle oracle_;
  Troupe troupe_;
  Dice dice_;
  Flat flat_;
  uint64_t supervisor_kills_ = 0;
  uint64_t decision_count_ = 0;
  uint64_t quiet_count_ = 0;
  uint64_t seconds_ = 0;  // That it took.
  uint64_t act_ns_ = 0;
  uint64_t kill_supervisor_ns_ = 0;
  uint64_t start_supervisor_ns_ = 0;
  uint64_t look_ns_ = 0;
};

}  // namespace chaos
