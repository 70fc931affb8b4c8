// What the compiler calls under -fsanitize=thread, and what the library calls of the kernel: the machine's
// side of it. The names and numbers of arguments are those of ThreadSanitizer's runtime.
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>

#include "proof/explorer/machine.h"

using ripstop::explorer::Machine;
using ripstop::explorer::machine;

namespace {

constexpr int kSeqCst = __ATOMIC_SEQ_CST;

template <class T>
T load(const volatile void* place) noexcept {
  auto* word = static_cast<const volatile T*>(place);
  const bool is_seen = machine.before_atomic(const_cast<const T*>(word), sizeof(T), Machine::Access::Read);
  const T value = __atomic_load_n(word, __ATOMIC_SEQ_CST);
  if (is_seen) {
    machine.saw(value);
    machine.ordered(const_cast<const T*>(word), sizeof(T), false);
  }
  return value;
}

template <class T>
void store(volatile void* place, T value, int order) noexcept {
  machine.store(const_cast<void*>(place), &value, sizeof value, order == kSeqCst);
}

// Calls `change` for a word, as one step.
template <class T, class Step>
T change(volatile void* place, Step step) noexcept {
  auto* word = const_cast<T*>(static_cast<volatile T*>(place));
  const bool is_seen = machine.before_atomic(word, sizeof(T), Machine::Access::Write);
  machine.before_change(word, sizeof(T));
  const T before = step(word);
  machine.after_change();
  if (is_seen) {
    machine.saw(before);
    machine.ordered(word, sizeof(T), true);
  }
  return before;
}

template <class T>
bool swap(volatile void* place, T* expected, T desired) noexcept {
  const T wanted = *expected;
  *expected = change<T>(place, [&](T* word) {
    const T before = *word;
    if (before == wanted) *word = desired;
    return before;
  });
  return *expected == wanted;
}

}  // namespace

// The ABI's names are reserved ones.
extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define RIPSTOP_PLAIN(bytes)                                                                          \
  void __tsan_read##bytes(void* place) { machine.touch(place, bytes, Machine::Access::Read); }         \
  void __tsan_write##bytes(void* place) { machine.touch(place, bytes, Machine::Access::Write); }       \
  void __tsan_unaligned_read##bytes(void* place) { machine.touch(place, bytes, Machine::Access::Read); } \
  void __tsan_unaligned_write##bytes(void* place) { machine.touch(place, bytes, Machine::Access::Write); }
RIPSTOP_PLAIN(1)
RIPSTOP_PLAIN(2)
RIPSTOP_PLAIN(4)
RIPSTOP_PLAIN(8)
RIPSTOP_PLAIN(16)
#undef RIPSTOP_PLAIN

void __tsan_read_range(void* place, unsigned long bytes) {
  if (bytes != 0) machine.touch(place, bytes, Machine::Access::Read);
}
void __tsan_write_range(void* place, unsigned long bytes) {
  if (bytes != 0) machine.touch(place, bytes, Machine::Access::Write);
}

#define RIPSTOP_ATOMIC(bits, T)                                                                                     \
  T __tsan_atomic##bits##_load(const volatile T* place, int) { return load<T>(place); }                             \
  void __tsan_atomic##bits##_store(volatile T* place, T value, int order) { store<T>(place, value, order); }        \
  T __tsan_atomic##bits##_exchange(volatile T* place, T value, int) {                                               \
    return change<T>(place, [=](T* word) { return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST); });           \
  }                                                                                                                 \
  T __tsan_atomic##bits##_fetch_add(volatile T* place, T value, int) {                                              \
    return change<T>(place, [=](T* word) { return __atomic_fetch_add(word, value, __ATOMIC_SEQ_CST); });            \
  }                                                                                                                 \
  T __tsan_atomic##bits##_fetch_sub(volatile T* place, T value, int) {                                              \
    return change<T>(place, [=](T* word) { return __atomic_fetch_sub(word, value, __ATOMIC_SEQ_CST); });            \
  }                                                                                                                 \
  T __tsan_atomic##bits##_fetch_and(volatile T* place, T value, int) {                                              \
    return change<T>(place, [=](T* word) { return __atomic_fetch_and(word, value, __ATOMIC_SEQ_CST); });            \
  }                                                                                                                 \
  T __tsan_atomic##bits##_fetch_or(volatile T* place, T value, int) {                                               \
    return change<T>(place, [=](T* word) { return __atomic_fetch_or(word, value, __ATOMIC_SEQ_CST); });             \
  }                                                                                                                 \
  T __tsan_atomic##bits##_fetch_xor(volatile T* place, T value, int) {                                              \
    return change<T>(place, [=](T* word) { return __atomic_fetch_xor(word, value, __ATOMIC_SEQ_CST); });            \
  }                                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_strong(volatile T* place, T* expected, T desired, int, int) {          \
    return swap<T>(place, expected, desired);                                                                       \
  }                                                                                                                 \
  int __tsan_atomic##bits##_compare_exchange_weak(volatile T* place, T* expected, T desired, int, int) {            \
    return swap<T>(place, expected, desired);                                                                       \
  }
RIPSTOP_ATOMIC(8, unsigned char)
RIPSTOP_ATOMIC(16, unsigned short)
RIPSTOP_ATOMIC(32, unsigned int)
RIPSTOP_ATOMIC(64, unsigned long)
#undef RIPSTOP_ATOMIC

void __tsan_atomic_thread_fence(int order) {
  if (order == kSeqCst) machine.drain_own();
}
void __tsan_atomic_signal_fence(int) {}

// --- two words as one: twin/base/atomic_pair.h -----------------------------------------------------------

bool ripstop_explored_swap(void* word, uint64_t expected[2], uint64_t low, uint64_t high) noexcept {
  auto* halves = static_cast<uint64_t*>(word);
  const bool is_seen = machine.before_atomic(word, 16, Machine::Access::Write);
  machine.before_change(word, 16);
  const uint64_t seen[2] = {halves[0], halves[1]};
  const bool swapped = seen[0] == expected[0] && seen[1] == expected[1];
  if (swapped) halves[0] = low, halves[1] = high;
  expected[0] = seen[0];
  expected[1] = seen[1];
  machine.after_change();
  if (is_seen) {
    machine.saw(swapped ? 1 : 0);
    machine.saw(seen[0]);
    machine.saw(seen[1]);
    machine.ordered(word, 16, swapped);
  }
  return swapped;
}

void ripstop_explored_store(void* word, uint64_t low, uint64_t high) noexcept {
  const uint64_t halves[2] = {low, high};
  machine.store(word, halves, sizeof halves, false);
}

// --- the kernel ---------------------------------------------------------------------------------------------

long syscall(long number, ...) noexcept {
  va_list list;
  va_start(list, number);
  if (number == SYS_futex && machine.is_running()) {
    auto* word = va_arg(list, uint32_t*);
    const int operation = va_arg(list, int) & FUTEX_CMD_MASK;
    const auto value = va_arg(list, uint32_t);
    va_end(list);
    if (operation == FUTEX_WAKE) {
      machine.drain_own();
      return machine.wake(word, value);
    }
    (void)load<uint32_t>(word);  // What lingers may do so until the kernel looks, so the others may come before that.
    machine.drain_own();
    // Its time is never over: who is not woken sleeps for ever, and is found asleep.
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) {
      machine.fall_asleep(word);
      return 0;
    }
    errno = EAGAIN;
    return -1;
  }
  if (number == SYS_membarrier) {
    va_end(list);
    machine.fence_all();
    return 0;
  }
  va_end(list);
  errno = ENOSYS;  // The explored code asks for nothing else.
  return -1;
}

int clock_gettime(clockid_t, timespec* time) noexcept {
  const uint64_t now = machine.clock_ns();
  time->tv_sec = static_cast<time_t>(now / 1'000'000'000);
  time->tv_nsec = static_cast<long>(now % 1'000'000'000);
  return 0;
}

int sched_yield() noexcept { return 0; }

}  // extern "C"
