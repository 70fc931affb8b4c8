// Loaded before a program's libraries (LD_PRELOAD): marks where main begins, and lets one allocation fail.
//
// hwloc is left alone: 2.9 follows what malloc gives it without looking, and it is asked once, before there is
// anything of a fabric.
//
// The marks are system calls that mean nothing to the kernel and that the tracer knows (tracer.h).
//   RIPSTOP_FAULT_ALLOCATION=N    the N-th allocation since main began fails
//   RIPSTOP_FAULT_ALLOCATIONS=M   and the M-1 after it (1)
//   RIPSTOP_FAULT_ROLE=keeper     in the process that has --keeper among its arguments; else in the others
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "proof/faults/marks.h"

namespace {
bool running = false;

// Calls the next library's function, and no allocation of it fails.
template <class Answer, class... Arguments>
Answer unfailed(const char* name, Arguments... arguments) {
  const auto next = reinterpret_cast<Answer (*)(Arguments...)>(dlsym(RTLD_NEXT, name));
  struct Suspended {
    bool before = __atomic_exchange_n(&running, false, __ATOMIC_RELAXED);  // Relaxed: one thread at a time comes here.
    ~Suspended() { running = before; }
  } const suspended;
  return next(arguments...);
}

}  // namespace

extern "C" {

// glibc's own.
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

namespace {

uint64_t fail_from = 0;  // 0: none.
uint64_t fail_count = 1;
uint64_t counted = 0;  // By all threads; what is stepped on has one where it matters.

bool fails() noexcept {
  if (!running || fail_from == 0) return false;
  const uint64_t number = __atomic_add_fetch(&counted, 1, __ATOMIC_RELAXED);  // Relaxed: a count.
  if (number < fail_from || number >= fail_from + fail_count) return false;
  if (number == fail_from) syscall(SYS_prctl, ripstop::faults::kMarkAllocation, 0, 0, 0, 0);
  errno = ENOMEM;
  return true;
}

uint64_t number_in(const char* name, uint64_t otherwise) noexcept {
  const char* text = getenv(name);
  return text == nullptr ? otherwise : strtoull(text, nullptr, 10);
}

using Main = int (*)(int, char**, char**);
Main real_main = nullptr;

int marked_main(int argc, char** argv, char** environment) {
  const char* role = getenv("RIPSTOP_FAULT_ROLE");
  const bool wants_keeper = role != nullptr && strcmp(role, "keeper") == 0;
  bool is_keeper = false;
  for (int i = 1; i < argc; ++i) is_keeper = is_keeper || strcmp(argv[i], "--keeper") == 0;
  if (wants_keeper == is_keeper) {
    fail_count = number_in("RIPSTOP_FAULT_ALLOCATIONS", 1);
    fail_from = number_in("RIPSTOP_FAULT_ALLOCATION", 0);
  }
  syscall(SYS_prctl, ripstop::faults::kMarkMain, 0, 0, 0, 0);
  running = true;
  const int status = real_main(argc, argv, environment);
  running = false;
  return status;
}

}  // namespace

// --- hwloc, by the calls that lib/topology makes ---

int hwloc_topology_init(void** topology) { return unfailed<int>("hwloc_topology_init", topology); }
int hwloc_topology_load(void* topology) { return unfailed<int>("hwloc_topology_load", topology); }
int hwloc_topology_set_synthetic(void* topology, const char* text) { return unfailed<int>("hwloc_topology_set_synthetic", topology, text); }
void hwloc_topology_destroy(void* topology) { unfailed<void>("hwloc_topology_destroy", topology); }
int hwloc_set_area_membind(void* topology, const void* address, size_t bytes, const void* set, int policy, int flags) {
  return unfailed<int>("hwloc_set_area_membind", topology, address, bytes, set, policy, flags);
}

int __libc_start_main(Main main, int argc, char** argv, void (*init)(), void (*fini)(), void (*rtld_fini)(), void* stack_end) {
  using Start = int (*)(Main, int, char**, void (*)(), void (*)(), void (*)(), void*);
  real_main = main;
  const auto start = reinterpret_cast<Start>(dlsym(RTLD_NEXT, "__libc_start_main"));
  return start(marked_main, argc, argv, init, fini, rtld_fini, stack_end);
}

void* malloc(size_t bytes) noexcept { return fails() ? nullptr : __libc_malloc(bytes); }
void* calloc(size_t count, size_t bytes) noexcept { return fails() ? nullptr : __libc_calloc(count, bytes); }
void* realloc(void* old, size_t bytes) noexcept { return fails() ? nullptr : __libc_realloc(old, bytes); }
void* memalign(size_t alignment, size_t bytes) noexcept { return fails() ? nullptr : __libc_memalign(alignment, bytes); }
void* aligned_alloc(size_t alignment, size_t bytes) noexcept { return fails() ? nullptr : __libc_memalign(alignment, bytes); }
int posix_memalign(void** place, size_t alignment, size_t bytes) noexcept {
  void* const got = fails() ? nullptr : __libc_memalign(alignment, bytes);
  if (got == nullptr) return ENOMEM;
  *place = got;
  return 0;
}

}  // extern "C"
