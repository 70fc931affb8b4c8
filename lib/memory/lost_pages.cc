// The handler maps a fresh page over the lost one and returns: the instruction runs again and finds zeros,
// which every reader of a node segment takes for what they are, words like any other. Nothing is copied back,
// so what others see in the hole, if it is ever filled, is theirs alone; the segment is not to be trusted any
// more and its owner says so.
//
// Rejected: siglongjmp out of the reader, which would leave a recovery half done at each touch; and giving
// the segment up as a whole, which would take what is undamaged from everybody.
//
// Edges.  R(range) -> A(range)  a range's fields, who watches to the handler.
#include "memory/lost_pages.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>

namespace ripstop::memory {

namespace {

// Fixed, because the handler can neither allocate nor lock.
struct Range {
  std::atomic<std::uintptr_t> first{0};  // 0: free. Written last, cleared first.
  std::size_t bytes = 0;
  std::size_t page_bytes = 0;
  int protection = 0;
  LostPages::Told told = nullptr;
  void* context = nullptr;
  std::atomic<uint32_t> count{0};
};
constexpr int kRangesMax = 64;

Range ranges[kRangesMax];
std::mutex ranges_mutex;  // Of those who watch; never the handler's.
struct sigaction before;  // Where other SIGBUS go.

Range* find(std::uintptr_t address) noexcept {
  for (Range& range : ranges) {
    const std::uintptr_t first = range.first.load(std::memory_order_acquire);  // A(range)
    if (first != 0 && address - first < range.bytes) return &range;
  }
  return nullptr;
}

bool replace_page(const Range& range, std::uintptr_t address) noexcept {
  const std::uintptr_t page = address & ~(range.page_bytes - 1);
  // The call itself: a sanitizer's mmap() is not for handlers.
  const long mapped = syscall(SYS_mmap, page, range.page_bytes, range.protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  return mapped == static_cast<long>(page);
}

void on_bus_error(int, siginfo_t* info, void*) noexcept {
  const int saved_errno = errno;
  Range* range = info->si_code > 0 ? find(reinterpret_cast<std::uintptr_t>(info->si_addr)) : nullptr;
  if (range != nullptr && replace_page(*range, reinterpret_cast<std::uintptr_t>(info->si_addr))) {
    range->count.fetch_add(1, std::memory_order_relaxed);  // A counter.
    if (range->told != nullptr) range->told(range->context);
    errno = saved_errno;
    return;
  }
  // Not ours: the touch that follows the return is handled as before we came, and so is a signal that was sent.
  sigaction(SIGBUS, &before, nullptr);
  if (info->si_code <= 0) raise(SIGBUS);
  errno = saved_errno;
}

Result<void> install() {
  struct sigaction ours {};
  sigemptyset(&ours.sa_mask);
  ours.sa_sigaction = on_bus_error;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  struct sigaction now {};
  if (sigaction(SIGBUS, nullptr, &now) != 0) return system_error("sigaction", errno);
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_bus_error) return {};
  before = now;
  if (sigaction(SIGBUS, &ours, nullptr) != 0) return system_error("sigaction", errno);
  return {};
}

}  // namespace

Result<LostPages> LostPages::watch(const Segment& segment, Access access, Told told, void* context) {
  const std::lock_guard lock(ranges_mutex);
  if (auto installed = install(); !installed) return installed.error();
  for (int index = 0; index < kRangesMax; ++index) {
    Range& range = ranges[index];
    if (range.first.load(std::memory_order_relaxed) != 0) continue;  // Relaxed: under the lock.
    range.bytes = segment.size();
    range.page_bytes = segment.page_bytes();
    range.protection = access == Access::ReadOnly ? PROT_READ : PROT_READ | PROT_WRITE;
    range.told = told;
    range.context = context;
    range.count.store(0, std::memory_order_relaxed);  // Relaxed: before the range is one.
    range.first.store(reinterpret_cast<std::uintptr_t>(segment.data()), std::memory_order_release);  // R(range)
    return LostPages(index);
  }
  return system_error("watch a segment for lost pages", ENOSPC);
}

LostPages& LostPages::operator=(LostPages&& other) noexcept {
  if (this != &other) {
    stop();
    index_ = std::exchange(other.index_, -1);
  }
  return *this;
}

uint32_t LostPages::count() const noexcept {
  return index_ < 0 ? 0 : ranges[index_].count.load(std::memory_order_relaxed);  // A counter.
}

void LostPages::stop() noexcept {
  if (index_ < 0) return;
  const std::lock_guard lock(ranges_mutex);
  ranges[index_].first.store(0, std::memory_order_release);  // R(range)
  index_ = -1;
}

}  // namespace ripstop::memory
