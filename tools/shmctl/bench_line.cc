#include "shmctl/bench_line.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <new>
#include <optional>
#include <vector>

#include "base/cache_line.h"
#include "ripstop/types.h"
#include "shmctl/bench_child.h"

namespace ripstop::shmctl {

namespace {

constexpr std::size_t kTripCount = 20'000;
constexpr std::size_t kTripsToJudgeBy = 1'000;
constexpr uint64_t kDurationNs = 1'000'000'000;
constexpr uint64_t kEnd = ~uint64_t{0};

struct Line {
  // Odd: written by the child. Even: by the parent. kEnd: by the parent, the last word.
  alignas(base::kCacheLineBytes) std::atomic<uint64_t> word{0};
};

// Spins until the word is none of `previous`; nothing when that takes too long.
std::optional<uint64_t> next_word(const Line& line, uint64_t previous) {
  uint64_t since_ns = 0;
  for (uint32_t looks = 1;; ++looks) {
    // Relaxed: the word is all there is.
    const uint64_t word = line.word.load(std::memory_order_relaxed);
    if (word != previous) return word;
    base::spin_pause();
    if (looks % 4096 != 0) continue;
    if (since_ns == 0) since_ns = now_ns();
    if (now_ns() - since_ns > kDurationNs) return std::nullopt;
  }
}

}  // namespace

Result<std::optional<uint64_t>> measure_line_ns() {
  void* page = mmap(nullptr, sizeof(Line), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return system_error("mmap a line for the bench", errno);
  const auto unmap = [](Line* line) { munmap(line, sizeof(Line)); };
  const std::unique_ptr<Line, decltype(unmap)> line(new (page) Line, unmap);

  auto child = BenchChild::start([&](const BenchChild::Ready& ready) -> std::optional<uint64_t> {
    ready();
    uint64_t own = 0;
    for (;;) {
      const std::optional<uint64_t> word = next_word(*line, own);
      if (!word || *word == kEnd) return own / 2;
      own = *word + 1;
      line->word.store(own, std::memory_order_relaxed);  // Relaxed: as above.
    }
  });
  if (!child) return child.error();
  if (!child->wait_ready(kDurationNs)) return std::optional<uint64_t>();

  std::vector<uint64_t> trips_ns;
  const uint64_t start_ns = now_ns();
  uint64_t before_ns = start_ns;
  for (uint64_t own = 2; trips_ns.size() < kTripCount && before_ns - start_ns < kDurationNs; own += 2) {
    line->word.store(own, std::memory_order_relaxed);  // Relaxed: as above.
    if (!next_word(*line, own)) break;
    const uint64_t after_ns = now_ns();
    trips_ns.push_back(after_ns - before_ns);
    before_ns = after_ns;
  }
  line->word.store(kEnd, std::memory_order_relaxed);  // Relaxed: as above.
  if (trips_ns.size() < kTripsToJudgeBy) return std::optional<uint64_t>();
  const auto middle = trips_ns.begin() + static_cast<std::ptrdiff_t>(trips_ns.size() / 2);
  std::nth_element(trips_ns.begin(), middle, trips_ns.end());
  return std::optional<uint64_t>(*middle / 2);
}

}  // namespace ripstop::shmctl
