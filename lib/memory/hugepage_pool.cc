#include "memory/hugepage_pool.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace ripstop::memory {

namespace {

constexpr const char* kPool = "/sys/kernel/mm/hugepages/hugepages-2048kB/";

uint64_t read_count(const char* name) {
  std::ifstream file(std::string(kPool) + name);
  uint64_t count = 0;
  file >> count;
  return file ? count : 0;
}

bool write_total(uint64_t count) {
  std::ofstream file(std::string(kPool) + "nr_hugepages");
  file << count << std::flush;
  return file.good();
}

}  // namespace

HugepagePool read_hugepage_pool() {
  const uint64_t reserved = read_count("resv_hugepages");
  const uint64_t free_count = read_count("free_hugepages");
  return {read_count("nr_hugepages"), free_count > reserved ? free_count - reserved : 0};
}

uint64_t grow_hugepage_pool(uint64_t page_count) {
  const uint64_t before = read_count("nr_hugepages");
  if (page_count == 0 || !write_total(before + page_count)) return 0;
  const uint64_t after = read_count("nr_hugepages");
  return after > before ? after - before : 0;
}

void shrink_hugepage_pool(uint64_t page_count) {
  if (page_count == 0) return;
  const uint64_t total = read_count("nr_hugepages");
  // In use pages stay, as surplus, until they are freed.
  write_total(total - std::min(total, page_count));
}

}  // namespace ripstop::memory
