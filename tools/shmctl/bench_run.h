// Real processes that exchange messages over the public API, and what was measured.
//
// The children are forked before anybody attaches; each attaches an agent of its own, says that it is
// ready, and reports what it counted. They end with this process, whatever happens to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ripstop/result.h"
#include "ripstop/types.h"
#include "shmctl/verb.h"

namespace ripstop::shmctl {

struct BenchPlan {
  std::string kind;  // pingpong, throughput, fanout.
  uint32_t payload_bytes = 64;
  uint32_t receiver_count = 1;
  uint64_t duration_ns = 2'000'000'000;
  Wait wait = Wait::Adaptive;
  bool channel = false;  // pingpong: over a pair of channels instead of topics.
};

struct BenchResult {
  uint64_t message_count = 0;   // Round trips, or messages published.
  uint64_t delivery_count = 0;  // Messages that receivers took and read.
  uint64_t duration_ns = 0;
  std::vector<uint64_t> round_trips_ns;  // pingpong, ascending.
  std::optional<uint64_t> line_ns;       // pingpong: a bare cache line one way, right after (bench_line.h).
};

// Writes every byte of each payload, and reads every byte of it.
// Errors: as Agent::attach() and what follows from it; Timeout (a child did not come or answer);
//         System (fork, pipe).
Result<BenchResult> run_bench(const Command& command, const BenchPlan& plan);

}  // namespace ripstop::shmctl
