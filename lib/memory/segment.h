// A mapped segment: the fabric's memory as this process sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "ripstop/result.h"

namespace ripstop::memory {

enum class Access : uint8_t { ReadOnly, ReadWrite };

struct SegmentOptions {
  // A child made by fork has no mapping of it: two processes cannot speak for one agent.
  bool hidden_from_children = false;
  // Who handed the descriptor over is not known to be honest: a file that somebody can cut short is refused.
  bool sealed = false;
};

class Segment {
 public:
  // Maps the first `bytes` bytes of `fd`, which may be closed afterwards.
  //
  // Errors:   Corrupt (the file is shorter than `bytes`, or can become it: a touch would be SIGBUS), Denied (`fd` does
  //           not allow `access`), NoMemory, System.
  // Thread:   any; the returned Segment has one owner at a time.
  // Lifetime: pointers into it end with it. In a fork's child a hidden segment is inert.
  // Source:   Boost.Interprocess mapped_region; madvise(2) MADV_DONTFORK.
  static Result<Segment> map(int fd, Access access, std::size_t bytes, SegmentOptions options = {});

  // Page aligned; aligned to a huge page when it is as large as one.
  std::byte* data() const noexcept;
  std::size_t size() const noexcept;
  // What comes and goes as one: a huge page where the memory is hugetlb.
  std::size_t page_bytes() const noexcept;
  std::span<std::byte> bytes() const noexcept { return {data(), size()}; }

  Segment() noexcept;
  Segment(Segment&&) noexcept;
  Segment& operator=(Segment&&) noexcept;
  ~Segment();

 private:
  struct Mapping;
  explicit Segment(std::unique_ptr<Mapping> mapping) noexcept;
  void drop() noexcept;

  std::unique_ptr<Mapping> mapping_;
};

}  // namespace ripstop::memory
