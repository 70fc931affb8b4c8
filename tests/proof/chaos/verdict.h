// What the soak found, in numbers and words.
#pragma once

#include <array>
#include <cstdarg>
#include <cstdint>
#include <cstdio>

namespace chaos {

enum class Fault : uint8_t { Lost, Doubled, Torn, Order, Leaked, Blocked, Phantom, Broken };
inline constexpr std::size_t kFaultCount = 8;

class Verdict {
 public:
  // Counts it; the first ones are told.
  __attribute__((format(printf, 3, 4))) void add(Fault fault, const char* format, ...) {
    constexpr const char* kNames[kFaultCount] = {"lost", "doubled", "torn", "out of order", "leaked", "blocked", "phantom", "broken"};
    const auto index = static_cast<std::size_t>(fault);
    if (++counts_[index] > 5) return;
    std::fprintf(stderr, "FAULT %s: ", kNames[index]);
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fputc('\n', stderr);
  }

  uint64_t count(Fault fault) const { return counts_[static_cast<std::size_t>(fault)]; }
  bool clean() const {
    for (const uint64_t count : counts_) {
      if (count != 0) return false;
    }
    return true;
  }

 private:
  std::array<uint64_t, kFaultCount> counts_{};
};

}  // namespace chaos
