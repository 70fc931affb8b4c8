// A process as /proc shows it: alive, stopped or dead; how much processor it used; which call it is in.
#pragma once

#include <cstdint>

#include "ripstop/inspect.h"

namespace ripstop::agent {

// Looks at `pid`. `started_before_ns`: when the process meant was there already (CLOCK_MONOTONIC); a
// process that started later has only its number. 0: not known.
//
// Errors: none; what /proc does not tell (hidepid, another user's process) stays empty.
// Source: /proc/PID/stat, /proc/PID/task/*/stat (64 threads at most), /proc/PID/syscall.
ProcessView look_at_process(uint32_t pid, uint64_t started_before_ns);

}  // namespace ripstop::agent
