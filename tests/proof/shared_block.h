// Memory that a process shares with the children it forks: what they find out is read there.
#pragma once

#include <sys/mman.h>

#include <cstddef>

#include "base/check.h"

namespace ripstop::proof {

// `count` of them, all bytes zero. Pages come with their first use; they go with the last process.
template <class T>
T* share(std::size_t count = 1) {
  void* place = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  RIPSTOP_CHECK(place != MAP_FAILED);
  return static_cast<T*>(place);
}

}  // namespace ripstop::proof
