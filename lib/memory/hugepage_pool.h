// The kernel's pool of 2 MiB pages (hugetlb).
#pragma once

#include <cstdint>

namespace ripstop::memory {

struct HugepagePool {
  uint64_t total_count = 0;
  uint64_t free_count = 0;  // Not reserved by a mapping either.
};

// All zero where the kernel has none.
HugepagePool read_hugepage_pool();

// Asks for `page_count` more pages and returns how many came: none without the right to, fewer when
// memory is fragmented.
uint64_t grow_hugepage_pool(uint64_t page_count);

// Gives pages back. Ones that are in use leave the pool when they are freed.
void shrink_hugepage_pool(uint64_t page_count);

}  // namespace ripstop::memory
