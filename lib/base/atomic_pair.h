// Two 64-bit words that change as one.
//
// Writing is one 16-byte compare-and-swap. Reading is by halves: the caller reads one half, then the
// other, then the first again, and knows by its protocol when the two belong together. There is no
// 16-byte load on purpose: a locked one dirties the line and faults on a read-only map.
//
// How it works: the instruction is written out (cmpxchg16b, casp) because std::atomic<__int128>
// goes through libatomic. It is a full barrier: on x86 every locked instruction is, elsewhere casp is
// seq_cst. ThreadSanitizer does not see it and is told its order; its own 16-byte swap is a lock inside
// one process, and our words are shared by several.
#pragma once

#include <atomic>
#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define RIPSTOP_PAIR_TOLD 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RIPSTOP_PAIR_TOLD 1
#endif
#endif

#if defined(RIPSTOP_PAIR_TOLD)
#include <sanitizer/tsan_interface.h>
#endif

namespace ripstop::base {

struct Pair {
  uint64_t low;
  uint64_t high;
  friend bool operator==(const Pair&, const Pair&) = default;
};

// Whether one aligned 16-byte vector store is atomic here. Constant after the library is loaded.
extern const bool pair_store_is_atomic;

struct alignas(16) AtomicPair {
  std::atomic<uint64_t> low;
  std::atomic<uint64_t> high;

  // Replaces `expected` by `desired`. On failure `expected` is what was there.
  // A full barrier either way.
  bool compare_exchange(Pair& expected, Pair desired) noexcept {
    tell_before();
    const bool swapped = swap(expected, desired);
    tell_after();
    return swapped;
  }

  // Writes both halves in one go, for a word that nobody else may write at this moment. A release.
  //
  // How it works: processors with AVX store 16 aligned bytes at once (Intel SDM 3A §9.1.1, AMD APM 2
  // §7.3.2); a kill falls between instructions, so the halves cannot part. Others swap in a loop.
  void store_exclusive(Pair value) noexcept {
#if defined(__x86_64__) && !defined(RIPSTOP_PAIR_TOLD)
    if (pair_store_is_atomic) [[likely]] {
      using Vector = long long __attribute__((vector_size(16)));
      const Vector vector{static_cast<long long>(value.low), static_cast<long long>(value.high)};
      asm volatile("movdqa %[vector], %[word]" : [word] "=m"(*this) : [vector] "x"(vector) : "memory");
      return;
    }
#endif
    // Relaxed: the swap checks both halves.
    Pair expected{low.load(std::memory_order_relaxed), high.load(std::memory_order_relaxed)};
    while (!compare_exchange(expected, value)) {
    }
  }

 private:
  bool swap(Pair& expected, Pair desired) noexcept {
#if defined(__x86_64__)
    bool swapped;
    asm volatile("lock cmpxchg16b %[word]"
                 : [word] "+m"(*this), "=@ccz"(swapped), "+a"(expected.low), "+d"(expected.high)
                 : "b"(desired.low), "c"(desired.high)
                 : "memory");
    return swapped;
#elif defined(__aarch64__)
    register uint64_t old_low asm("x0") = expected.low;
    register uint64_t old_high asm("x1") = expected.high;
    register uint64_t new_low asm("x2") = desired.low;
    register uint64_t new_high asm("x3") = desired.high;
    asm volatile(".arch_extension lse\n caspal x0, x1, x2, x3, %[word]\n dmb ish"
                 : [word] "+Q"(*this), "+r"(old_low), "+r"(old_high)
                 : "r"(new_low), "r"(new_high)
                 : "memory");
    const bool swapped = old_low == expected.low && old_high == expected.high;
    expected = {old_low, old_high};
    return swapped;
#else
#error "Ripstop needs a 16-byte compare-and-swap"
#endif
  }

  // For ThreadSanitizer, which keeps its clocks by address: readers look at either half.
  void tell_before() noexcept {
#if defined(RIPSTOP_PAIR_TOLD)
    __tsan_release(&low);   // R(*): the caller's.
    __tsan_release(&high);  // R(*)
#endif
  }
  void tell_after() noexcept {
#if defined(RIPSTOP_PAIR_TOLD)
    __tsan_acquire(&low);   // A(*): the caller's.
    __tsan_acquire(&high);  // A(*)
#endif
  }
};
static_assert(sizeof(AtomicPair) == 16);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

// Whether this processor has the instruction. Refused at attach when it has not.
bool cpu_has_pair_swap() noexcept;

}  // namespace ripstop::base
