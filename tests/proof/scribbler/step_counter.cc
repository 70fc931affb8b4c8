// What the compiler calls at the head of each basic block, and AddressSanitizer's settings. Apart from steps.cc:
// libFuzzer brings these itself.
#include <unistd.h>

#include "scribbler/steps.h"

extern "C" void __sanitizer_cov_trace_pc();
extern "C" void __sanitizer_cov_trace_pc() {
  if (++ripstop::proof::step_count > ripstop::proof::kStepsMax) _exit(ripstop::proof::kHungStatus);
}

// A million runs allocate a lot and keep nothing: a short memory of what was freed, and of who asked for it.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() { return "malloc_context_size=1:quarantine_size_mb=2:detect_leaks=0"; }
