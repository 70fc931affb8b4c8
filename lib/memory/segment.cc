// Boost.Interprocess maps; we add where (a huge page is only used by an aligned mapping), how much the
// file really has, and that a fork's child does not unmap what it never had: the addresses of a
// hidden segment may be something else's in the child by the time it drops its copy of the Segment.
#include "memory/segment.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/mapped_region.hpp>
#include <cerrno>
#include <string>

#include "base/cache_line.h"

namespace ripstop::memory {

namespace bip = boost::interprocess;

namespace {

constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

// What mapped_region wants to know of something mappable: our descriptor.
class MemoryMappable {
 public:
  explicit MemoryMappable(int fd) noexcept { handle_.handle = fd; }
  bip::mapping_handle_t get_mapping_handle() const noexcept { return handle_; }

 private:
  bip::mapping_handle_t handle_{};
};

std::size_t page_bytes_of(int fd) noexcept {
  struct statfs status {};
  const bool is_hugetlb = fstatfs(fd, &status) == 0 && status.f_type == HUGETLBFS_MAGIC;
  return is_hugetlb ? static_cast<std::size_t>(status.f_bsize) : static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Reserves addresses for `bytes` aligned to a huge page; null when there are none.
std::byte* reserve_aligned(std::size_t bytes) noexcept {
  const std::size_t span = bytes + kHugePageBytes;
  void* area = mmap(nullptr, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return nullptr;
  auto* first = static_cast<std::byte*>(area);
  const auto address = reinterpret_cast<std::uintptr_t>(area);
  const std::size_t before = base::round_up(address, kHugePageBytes) - address;
  if (before > 0) munmap(first, before);
  const std::size_t after = span - before - base::round_up(bytes, 4096);
  if (after > 0) munmap(first + before + base::round_up(bytes, 4096), after);
  return first + before;
}

Error map_error(int sys_errno, std::size_t bytes) {
  const std::string size = std::to_string(bytes);
  if (sys_errno == EACCES || sys_errno == EPERM) {
    return {Errc::Denied, sys_errno, "this segment may not be mapped so",
            "its descriptor does not allow it", ""};
  }
  if (sys_errno == ENOMEM) {
    return {Errc::NoMemory, sys_errno, "no room to map a segment of " + size + " bytes",
            "the address space or its limit (ulimit -v) is exhausted, or huge pages are",
            "see ulimit -v and HugePages_Free in /proc/meminfo"};
  }
  return system_error("map a segment of " + size + " bytes", sys_errno);
}

}  // namespace

struct Segment::Mapping {
  bip::mapped_region region;
  pid_t owner = 0;
  std::size_t page_bytes = 0;
  bool hidden = false;
};

Segment::Segment() noexcept = default;
Segment::Segment(std::unique_ptr<Mapping> mapping) noexcept : mapping_(std::move(mapping)) {}
Segment::Segment(Segment&&) noexcept = default;
Segment& Segment::operator=(Segment&& other) noexcept {
  if (this != &other) {
    drop();
    mapping_ = std::move(other.mapping_);
  }
  return *this;
}
Segment::~Segment() { drop(); }

void Segment::drop() noexcept {
  if (mapping_ != nullptr && mapping_->hidden && mapping_->owner != getpid()) {
    static_cast<void>(mapping_.release());  // Left as it is, on purpose: see the head of this file.
    return;
  }
  mapping_.reset();
}

std::byte* Segment::data() const noexcept {
  return mapping_ == nullptr ? nullptr : static_cast<std::byte*>(mapping_->region.get_address());
}

std::size_t Segment::size() const noexcept {
  return mapping_ == nullptr ? 0 : mapping_->region.get_size();
}

std::size_t Segment::page_bytes() const noexcept { return mapping_ == nullptr ? 0 : mapping_->page_bytes; }

Result<Segment> Segment::map(int fd, Access access, std::size_t bytes, SegmentOptions options) {
  struct stat status{};
  if (fstat(fd, &status) != 0) return system_error("fstat a segment", errno);
  if (bytes == 0 || status.st_size < 0 || static_cast<std::size_t>(status.st_size) < bytes) {
    return Error{Errc::Corrupt, 0, "a segment is shorter than its fabric says",
                 "it has " + std::to_string(status.st_size) + " bytes instead of " + std::to_string(bytes),
                 "end the fabric's supervisor and start it again"};
  }
  const int seals = options.sealed ? fcntl(fd, F_GET_SEALS) : F_SEAL_SHRINK;
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return Error{Errc::Corrupt, 0, "a segment is not memory that a supervisor made",
                 seals < 0 ? "it is no memfd" : "it is not sealed: whoever has it could cut it short",
                 "end the fabric's supervisor and start it again"};
  }
  std::byte* place = bytes >= kHugePageBytes ? reserve_aligned(bytes) : nullptr;
  try {
    auto mapping = std::make_unique<Mapping>();
    const auto mode = access == Access::ReadOnly ? bip::read_only : bip::read_write;
    // MAP_FIXED replaces our reservation in one step: nobody else can get the addresses in between.
    // Sealed memory has its pages: to reserve them once more would only fail, and does where one was lost
    // (lost_pages.h), just when somebody wants to look.
    const int reserve = options.sealed ? MAP_NORESERVE : 0;
    mapping->region = bip::mapped_region(MemoryMappable(fd), mode, 0, bytes, place, reserve | (place != nullptr ? MAP_FIXED : 0));
    mapping->owner = getpid();
    mapping->page_bytes = page_bytes_of(fd);
    mapping->hidden = options.hidden_from_children;
    Segment segment(std::move(mapping));
    if (options.hidden_from_children && madvise(segment.data(), bytes, MADV_DONTFORK) != 0) {
      return system_error("madvise a segment (MADV_DONTFORK)", errno);
    }
    return segment;
  } catch (const bip::interprocess_exception& failure) {
    const int sys_errno = failure.get_native_error();
    if (place != nullptr) munmap(place, base::round_up(bytes, 4096));
    return map_error(sys_errno, bytes);
  }
}

}  // namespace ripstop::memory
