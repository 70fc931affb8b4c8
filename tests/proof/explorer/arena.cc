#include "proof/explorer/arena.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

namespace ripstop::explorer {

namespace {

constexpr std::size_t kArenaBytes = std::size_t{64} << 20;

std::byte* first = nullptr;
std::size_t used = 0;
std::size_t remembered = 0;
std::byte* memory = nullptr;  // As much of it as was used when remember() was called.
bool is_open = false;

bool is_inside(const void* place) noexcept {
  return first != nullptr && static_cast<std::size_t>(static_cast<const std::byte*>(place) - first) < kArenaBytes;
}

void* take(std::size_t bytes, std::size_t alignment) {
  const std::size_t at = (used + alignment - 1) & ~(alignment - 1);
  if (at + bytes > kArenaBytes) {
    std::fprintf(stderr, "explorer: a run wants more than %zu MiB\n", kArenaBytes >> 20);
    std::abort();
  }
  used = at + bytes;
  return first + at;
}

}  // namespace

void Arena::open() noexcept {
  if (first == nullptr) {
    void* place = mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) std::abort();
    first = static_cast<std::byte*>(place);
  }
  is_open = true;
}

void Arena::close() noexcept { is_open = false; }

void Arena::remember() noexcept {
  std::free(memory);
  remembered = used;
  memory = static_cast<std::byte*>(std::malloc(remembered));
  if (memory == nullptr) std::abort();
  std::memcpy(memory, first, remembered);
}

void Arena::restore() noexcept {
  used = remembered;
  std::memcpy(first, memory, remembered);
}

void Arena::clear() noexcept { used = remembered = 0; }

ArenaPause::ArenaPause() noexcept : was_open_(is_open) { is_open = false; }
ArenaPause::~ArenaPause() { is_open = was_open_; }

}  // namespace ripstop::explorer

using ripstop::explorer::is_inside;

void* operator new(std::size_t bytes) {
  if (ripstop::explorer::is_open) return ripstop::explorer::take(bytes, 16);
  if (void* place = std::malloc(bytes)) return place;
  std::abort();
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  if (ripstop::explorer::is_open) return ripstop::explorer::take(bytes, static_cast<std::size_t>(alignment));
  if (void* place = std::aligned_alloc(static_cast<std::size_t>(alignment), bytes)) return place;
  std::abort();
}
void operator delete(void* place) noexcept {
  if (!is_inside(place)) std::free(place);
}
void operator delete(void* place, std::size_t) noexcept { operator delete(place); }
void operator delete(void* place, std::align_val_t) noexcept { operator delete(place); }
void operator delete(void* place, std::size_t, std::align_val_t) noexcept { operator delete(place); }
