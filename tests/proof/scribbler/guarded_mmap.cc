// Each shared mapping of this program lies between two pages that nobody may touch: a step out of a segment is
// a SIGSEGV here, where it might be a neighbour's memory elsewhere.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace {

constexpr std::size_t kGuardBytes = 4096;

// The guarded ones, to give the guards back with them. A mapping that finds no place here has none.
constexpr int kGuardedMax = 256;
std::atomic<std::byte*> guarded[kGuardedMax];

int find(std::byte* address) noexcept {
  for (int i = 0; i < kGuardedMax; ++i) {
    if (guarded[i].load() == address) return i;
  }
  return -1;
}

std::size_t whole_pages(std::size_t bytes) noexcept { return (bytes + kGuardBytes - 1) / kGuardBytes * kGuardBytes; }

void* call(void* address, std::size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  // The result is the address, or -1 with errno, as mmap() says it.
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}

}  // namespace

// Takes the C library's place, and the sanitizer's.
extern "C" void* mmap(void* address, std::size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  const int place = find(nullptr);
  if ((flags & MAP_FIXED) != 0 || fd < 0 || (flags & MAP_SHARED) == 0 || place < 0) return call(address, bytes, protection, flags, fd, offset);
  void* area = call(nullptr, whole_pages(bytes) + 2 * kGuardBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) return area;
  guarded[place].store(static_cast<std::byte*>(area) + kGuardBytes);
  return call(guarded[place].load(), bytes, protection, flags | MAP_FIXED, fd, offset);
}

extern "C" int munmap(void* address, std::size_t bytes) noexcept {
  auto* first = static_cast<std::byte*>(address);
  const int place = address == nullptr ? -1 : find(first);
  if (place < 0) return static_cast<int>(syscall(SYS_munmap, address, bytes));
  guarded[place].store(nullptr);
  return static_cast<int>(syscall(SYS_munmap, first - kGuardBytes, whole_pages(bytes) + 2 * kGuardBytes));
}
