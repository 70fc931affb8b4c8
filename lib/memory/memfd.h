// The fabric's memory: sealed, reserved and touched before anybody is promised a byte of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/owned_fd.h"
#include "layout/control_segment.h"
#include "ripstop/result.h"

namespace ripstop::memory {

inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;
inline constexpr std::size_t kSmallPageBytes = 4096;

struct MemfdRequest {
  std::string name;  // For /proc/<pid>/maps: "ripstop:default:node0".
  std::size_t bytes = 0;
  layout::PageKind pages_asked = layout::PageKind::Small;
  // No smaller pages than the ones asked for.
  bool pages_required = false;
  // Called with the fresh mapping before its first touch, to place it; says whether that was done.
  std::function<bool(void* address, std::size_t bytes)> place;
};

struct Memfd {
  base::OwnedFd fd;
  std::size_t bytes = 0;  // As asked, rounded up to whole pages of the kind got.
  layout::PageKind pages_got = layout::PageKind::Small;
  bool placed = false;
};

// Creates zeroed memory with the best pages to be had: hugetlb, else transparent huge, else 4 KiB.
// Every page is there when it returns and stays: exhaustion is an error here, never SIGBUS later.
//
// Errors: NoHugepages (required and not to be had), NoMemory; both with the numbers. System.
// Source: memfd_create(2), fallocate(2), fcntl(2) F_ADD_SEALS, MADV_COLLAPSE.
Result<Memfd> create_memfd(const MemfdRequest& request);

// A second description of the same memory that cannot be mapped writable. Also takes the write
// permission off the file, so that the receiver cannot open it anew for writing without owning it.
Result<base::OwnedFd> reopen_read_only(int fd);

// Memory that can be had without making somebody else starve: what the kernel calls available, or
// what this process's control group still allows, whichever is less.
uint64_t available_bytes();

}  // namespace ripstop::memory
