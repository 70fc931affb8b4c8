// How a page is made sure of: fallocate(2) charges and takes them all and fails cleanly, on hugetlb
// too; then every page is written once. MAP_POPULATE, MADV_POPULATE_WRITE and MAP_NORESERVE were
// rejected: on hugetlb they report exhaustion late or as SIGBUS.
//
// Ordinary memory is first compared with what is available, because a control group that runs out does
// not fail the call: it kills a process.
//
// Transparent huge pages are asked for by MADV_COLLAPSE, which works whatever shmem_enabled says
// (unless it says `deny`) and tells the truth: it succeeds when the whole range is huge.
#include "memory/memfd.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>

#include "base/cache_line.h"
#include "memory/hugepage_pool.h"
#include "memory/segment.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // Linux 6.1; Debian 12's C library does not name it.
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u  // Linux 6.3.
#endif

namespace ripstop::memory {

namespace {

using layout::PageKind;

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

std::optional<uint64_t> number_in(const std::string& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  if (!(file >> number)) return std::nullopt;  // Not there, or "max".
  return number;
}

// What the control group of this process still allows, in either version's files.
uint64_t group_allowance() {
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  uint64_t allowance = kNoLimit;
  while (std::getline(groups, line)) {
    const std::size_t second = line.find(':', line.find(':') + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(line.find(':') + 1, second - line.find(':') - 1);
    const std::string path = line.substr(second + 1);
    std::optional<uint64_t> limit, used;
    if (controllers.empty()) {
      limit = number_in("/sys/fs/cgroup" + path + "/memory.max");
      used = number_in("/sys/fs/cgroup" + path + "/memory.current");
    } else if (controllers == "memory") {
      limit = number_in("/sys/fs/cgroup/memory" + path + "/memory.limit_in_bytes");
      used = number_in("/sys/fs/cgroup/memory" + path + "/memory.usage_in_bytes");
    }
    if (limit && used) allowance = std::min(allowance, *limit > *used ? *limit - *used : 0);
  }
  return allowance;
}

uint64_t meminfo_available() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    uint64_t kib = 0;
    if (word == "MemAvailable:" && file >> kib) return kib * 1024;
  }
  return kNoLimit;
}

std::string mib(uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

Error no_memory(const MemfdRequest& request, int sys_errno) {
  return {Errc::NoMemory, sys_errno, "not enough memory for " + request.name,
          mib(request.bytes) + " are needed, " + mib(available_bytes()) + " are available",
          "make room, raise the control group's limit, or configure fewer or smaller chunks (classes)"};
}

Error no_hugepages(const MemfdRequest& request, int sys_errno) {
  const HugepagePool pool = read_hugepage_pool();
  const uint64_t needed = base::round_up(request.bytes, kHugePageBytes) / kHugePageBytes;
  return {Errc::NoHugepages, sys_errno, "not enough huge pages for " + request.name,
          std::to_string(needed) + " pages of 2 MiB are needed, " + std::to_string(pool.free_count) +
              " of " + std::to_string(pool.total_count) + " are free",
          "sysctl vm.nr_hugepages=" + std::to_string(pool.total_count + needed) +
              "     or set \"hugepages\": \"try\""};
}

Result<base::OwnedFd> open_memfd(const MemfdRequest& request, PageKind kind, std::size_t bytes) {
  const unsigned huge = kind == PageKind::Huge ? MFD_HUGETLB | MFD_HUGE_2MB : 0u;
  const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | huge;
  base::OwnedFd fd(memfd_create(request.name.c_str(), flags | MFD_NOEXEC_SEAL));
  if (!fd && errno == EINVAL) fd.reset(memfd_create(request.name.c_str(), flags));
  if (!fd) return system_error("memfd_create " + request.name, errno);
  if (ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) {
    return system_error("ftruncate " + request.name, errno);
  }
  return fd;
}

void touch(std::byte* data, std::size_t bytes, std::size_t page_bytes) noexcept {
  // Volatile: a store of what is there already must not be left out.
  for (std::size_t at = 0; at < bytes; at += page_bytes) {
    reinterpret_cast<volatile std::byte*>(data)[at] = std::byte{0};
  }
}

// Errors: as create_memfd, for this kind of pages alone.
Result<Memfd> create_with(const MemfdRequest& request, PageKind kind) {
  const std::size_t page_bytes = kind == PageKind::Small ? kSmallPageBytes : kHugePageBytes;
  const std::size_t bytes = base::round_up(request.bytes, page_bytes);
  const auto exhausted = [&](int sys_errno) {
    return kind == PageKind::Huge ? no_hugepages(request, sys_errno) : no_memory(request, sys_errno);
  };
  if (kind != PageKind::Huge && bytes > available_bytes()) return exhausted(0);
  auto fd = open_memfd(request, kind, bytes);
  if (!fd) return kind == PageKind::Huge ? exhausted(fd.error().sys_errno) : fd.error();
  auto segment = Segment::map(fd->get(), Access::ReadWrite, bytes);
  if (!segment) return kind == PageKind::Huge ? exhausted(segment.error().sys_errno) : segment.error();

  Memfd memfd{std::move(*fd), bytes, kind, false};
  if (request.place) memfd.placed = request.place(segment->data(), bytes);
  int failed = 0;
  do {
    failed = fallocate(memfd.fd.get(), 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  } while (failed == EINTR);
  if (failed == ENOMEM || failed == ENOSPC || failed == EDQUOT) return exhausted(failed);
  if (failed != 0) return system_error("fallocate " + request.name, failed);
  touch(segment->data(), bytes, kind == PageKind::Huge ? kHugePageBytes : kSmallPageBytes);
  if (kind == PageKind::Transparent && madvise(segment->data(), bytes, MADV_COLLAPSE) != 0) {
    memfd.pages_got = PageKind::Small;
  }
  if (fcntl(memfd.fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return system_error("seal " + request.name, errno);
  }
  return memfd;
}

}  // namespace

uint64_t available_bytes() { return std::min(meminfo_available(), group_allowance()); }

Result<Memfd> create_memfd(const MemfdRequest& request) {
  if (request.pages_asked == PageKind::Huge) {
    auto memfd = create_with(request, PageKind::Huge);
    if (memfd || request.pages_required) return memfd;
  }
  if (request.pages_asked == PageKind::Small) return create_with(request, PageKind::Small);
  return create_with(request, PageKind::Transparent);
}

Result<base::OwnedFd> reopen_read_only(int fd) {
  if (fchmod(fd, 0400) != 0) return system_error("fchmod a segment", errno);
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  base::OwnedFd read_only(open(path, O_RDONLY | O_CLOEXEC));
  if (!read_only) return system_error("open a segment read-only", errno);
  return read_only;
}

}  // namespace ripstop::memory
