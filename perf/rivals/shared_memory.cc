#include "shared_memory.h"

#include <sys/mman.h>

#include "control.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace rivals {
namespace {
constexpr std::size_t kHugePageBytes = 2U << 20U;
constexpr std::size_t kPageBytes = 4096;
}  // namespace

SharedMemory::SharedMemory(std::size_t bytes)
    : bytes_((bytes + kHugePageBytes - 1) / kHugePageBytes * kHugePageBytes) {
  void* data = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
  if (data == MAP_FAILED)
    data = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) fail_errno("mmap");
  (void)madvise(data, bytes_, MADV_HUGEPAGE);  // A wish; without it there are 4 KiB pages.
  data_ = static_cast<std::byte*>(data);
  prefault();
}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

void SharedMemory::prefault() const {
  if (madvise(data_, bytes_, MADV_POPULATE_WRITE) == 0) return;
  for (std::size_t at = 0; at < bytes_; at += kPageBytes) {  // A kernel before 5.14.
    auto* byte = reinterpret_cast<volatile unsigned char*>(data_ + at);
    *byte = *byte;
  }
}

}  // namespace rivals
