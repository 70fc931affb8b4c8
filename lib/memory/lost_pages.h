// Pages of a segment that the kernel does not have any more: a hole that another process punched and that
// cannot be filled, a page of broken memory. A touch of one is SIGBUS, and ends the process that touches it.
// Who reads memory that others can write, and must outlive them, watches it: the touch then finds zeros, in a
// page of this process's own, and the neighbours are what they were.
//
// The handler is the process's, so this is for programs (ripstopd, shmctl); the library never does it to its
// user. A SIGBUS from anywhere else goes where it went before.
#pragma once

#include <cstddef>
#include <cstdint>

#include "memory/segment.h"
#include "ripstop/result.h"

namespace ripstop::memory {

class LostPages {
 public:
  // Told of each page, in the signal handler: only what is async-signal-safe.
  using Told = void (*)(void* context);

  // Watches `segment` until the object goes. `told` may be null.
  //
  // Errors:   System (ENOSPC: 64 segments are watched already).
  // Thread:   any. Two threads that touch one lost page at the same moment may be told twice.
  // Lifetime: `context` outlives it; the segment's mapping is given back after it.
  // Source:   sigaction(2) SIGBUS, mmap(2) MAP_FIXED.
  static Result<LostPages> watch(const Segment& segment, Access access, Told told, void* context);

  LostPages(LostPages&& other) noexcept : index_(other.index_) { other.index_ = -1; }
  LostPages& operator=(LostPages&& other) noexcept;
  ~LostPages() { stop(); }

  // How many were lost so far.
  uint32_t count() const noexcept;

 private:
  explicit LostPages(int index) noexcept : index_(index) {}
  void stop() noexcept;

  int index_;
};

}  // namespace ripstop::memory
